"""A discrete-event simulation, with the real parts, of ingress replicas, classifiers and callers who come back."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from model.engine import Engine, Stream
from model.labels import Scores
from serve_app.classifier.passes import Passes
from serve_app.classifier.queue import Request
from serve_app.errors import TooBusy, TooLate
from serve_app.metrics import Metrics
from serve_app.overload.admission import EXCHANGE_S, Admission, Permit
from serve_app.overload.retry_reservations import ReservationRelay
from serve_app.settings import Settings
from tests.support.fakes import answer

RATE = 3700.0
"""Tokens a second of one classifier."""

TIMES = 10


@dataclass
class Result:
    """The outcomes of first and second tries, and the waits of admitted first ones, in seconds."""

    first_served: int = 0
    first_refused: int = 0
    second_served: int = 0
    second_refused: int = 0
    first_waits: list[float] = field(default_factory=list)
    retry_after: list[int] = field(default_factory=list)

    @property
    def kept(self) -> float:
        """Share of second tries that are served."""
        return self.second_served / (self.second_served + self.second_refused)

    def wait(self, quantile: float) -> float:
        """A quantile of the waits of the first tries that were admitted."""
        return sorted(self.first_waits)[int(quantile * (len(self.first_waits) - 1))]


@dataclass(eq=False)
class Caller:
    """One caller's texts, of `tokens` each; when it is refused it comes back for those that it has not got."""

    result: Result
    key: bytes
    texts: dict[bytes, str]
    tokens: int
    tries: int = 2
    tried: int = 0
    when_served: Callable[[], None] = lambda: None


class Ended(asyncio.Event):
    """An event that calls a function when it is set."""

    def __init__(self, happen: Callable[[], None]) -> None:
        super().__init__()
        self._happen = happen

    def set(self) -> None:
        """Set it."""
        if not self.is_set():
            self._happen()
        super().set()


class SimulatedPasses(Passes):
    """Passes that take the simulation's time."""

    def __init__(self, simulation: Simulation, rate: float) -> None:
        engine = SimpleNamespace()
        engine.streams = [engine]
        threads = cast("Any", None)
        super().__init__(cast("Engine", engine), threads, simulation.settings, simulation.metrics, simulation.clock)
        self._simulation = simulation
        self._rate = self.queue.tokens_per_s = rate

    def _run(self, stream: Stream, sequences: Sequence[Sequence[int]]) -> asyncio.Future[list[Scores]]:
        del stream
        scores: list[Scores] = [(0.5, 0.5)] * len(sequences)
        seconds = sum(map(len, sequences)) / self._rate
        run = SimpleNamespace(exception=lambda: None, result=lambda: scores)
        run.add_done_callback = lambda done: self._simulation.after(seconds, done, run)
        return cast("asyncio.Future[list[Scores]]", run)


class Simulation:
    """Requests arrive at any ingress replica; one that is refused comes back when told, to any of them."""

    def __init__(self, ingresses: int, classifiers: int, seed: int, rate: float = RATE) -> None:
        """`rate` is a classifier's, in tokens a second."""
        self.settings, self.metrics = Settings(), Metrics()
        self._now = 1000.0
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._number = itertools.count()
        self.rate = classifiers * rate
        """Tokens that all classifiers complete in a second."""
        self._timeout_s = 0.95 * self.settings.model_timeout_s
        self._ingresses: list[Admission] = []
        self._relay = ReservationRelay()
        self._classifiers = [SimulatedPasses(self, rate) for _ in range(classifiers)]
        self._heard: list[list[float]] = []
        self.grow(ingresses)

    def grow(self, ingresses: int) -> None:
        """Have ingress replicas start until there are so many."""
        for ingress in range(len(self._ingresses), ingresses):
            self._ingresses.append(Admission(self.settings, self.metrics, self.clock))
            self._heard.append([self._now] * len(self._classifiers))
            self.after(self._random.uniform(0, EXCHANGE_S), self._exchange, ingress)

    def move_relay(self) -> None:
        """Have another classifier relay reservations."""
        self._relay = ReservationRelay()

    def clock(self) -> float:
        """The simulated time, in seconds."""
        return self._now

    def after(self, seconds: float, happen: Callable[..., Any], *arguments: Any) -> None:
        """Have something happen so many seconds from now."""
        heapq.heappush(self._events, (self._now + seconds, next(self._number), happen, arguments))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self._now + seconds
        while self._events[0][0] <= end:
            self._now, _, happen, arguments = heapq.heappop(self._events)
            happen(*arguments)
        self._now = end

    def offer(self, result: Result, per_s: float, seconds: float, texts: int, tokens: int) -> None:
        """Have so many callers a second arrive, for so long from now."""
        arrival = 0.0
        while (arrival := arrival + self._random.expovariate(per_s)) < seconds:
            self.after(arrival, self.send, self.caller(result, texts, tokens))

    def caller(self, result: Result, texts: int, tokens: int, **fields: Any) -> Caller:
        """A caller with so many new texts of so many tokens."""
        key = next(self._number).to_bytes(16, "big")
        text = "x" * (4 * (tokens - 2))
        return Caller(result, key, {key + bytes(divmod(n, 256)): text for n in range(texts)}, tokens, **fields)

    def send(self, caller: Caller) -> None:
        """Have the caller ask for what it has not got."""
        caller.tried += 1
        ingress = self._random.randrange(len(self._ingresses))
        admission = self._ingresses[ingress]
        try:
            permit = admission.admit(caller.texts, admission.redeem(caller.key), math.inf)
            chosen, request = self._ask(caller, permit, ingress)
            if request.busy_s and admission.has_room_elsewhere(str(chosen), permit):
                chosen, request = self._ask(caller, permit, ingress)
            if request.busy_s:
                admission.leave(permit)
                raise TooBusy(request.busy_s)
        except TooBusy as refused:
            self._refuse(caller, ingress, refused)
            return
        passes, held = self._classifiers[chosen], ExitStack()
        if caller.tried == 1:
            caller.result.first_waits.append(passes.queue.wait_s)
        request.ended = Ended(lambda: self.after(0, self._answer, caller, permit, ingress, chosen, request, held))
        held.enter_context(passes.queue.track(request))
        # all different, since the rate counts equal texts of a pass once
        ids = [[next(self._number), *[0] * (caller.tokens - 1)] for _ in caller.texts]
        passes.add(request, 0, ids, permit.tokens)
        self.after(self._timeout_s, request.ended.set)

    def _ask(self, caller: Caller, permit: Permit, ingress: int) -> tuple[int, Request]:
        """The classifier that is asked, and the request, which it may have refused."""
        chosen = self._choose(ingress)
        size = len(caller.texts)
        request = Request([None] * size, permit.tokens, permit.max_wait_s, self._timeout_s, began=self._now)
        if not self._classifiers[chosen].queue.admit(request):
            self._learn(ingress, chosen)
        return chosen, request

    def _answer(
        self, caller: Caller, permit: Permit, ingress: int, chosen: int, request: Request, held: ExitStack
    ) -> None:
        held.close()
        self._learn(ingress, chosen)
        self._ingresses[ingress].leave(permit)
        for key, scores in zip(list(caller.texts), request.scores, strict=True):
            if scores is not None:
                del caller.texts[key]
        if caller.texts:
            self._refuse(caller, ingress, TooLate(request.busy_s))
            return
        if caller.tried == 1:
            caller.result.first_served += 1
        else:
            caller.result.second_served += 1
        caller.when_served()

    def _refuse(self, caller: Caller, ingress: int, refused: TooBusy) -> None:
        refusal = self._ingresses[ingress].refusal(refused, caller.texts, caller.key, math.inf)
        if caller.tried == 1:
            caller.result.first_refused += 1
        else:
            caller.result.second_refused += 1
        after = int(refusal.headers["Retry-After"])
        caller.result.retry_after.append(after)
        if caller.tried < caller.tries:
            self.after(after + 0.005, self.send, caller)

    def _choose(self, ingress: int) -> int:
        """The classifier on the same node if its last reported wait is within a pass of the shortest."""
        heard = self._heard[ingress]
        near = [each for each, ready_at in enumerate(heard) if ready_at <= max(min(heard), self._now) + self._pass_s()]
        local = ingress % len(heard)
        return local if local in near else self._random.choice(near)

    def _pass_s(self) -> float:
        return self.settings.batch_tokens / self._classifiers[0].queue.tokens_per_s

    def _learn(self, ingress: int, chosen: int) -> None:
        passes = self._classifiers[chosen]
        wait_s = passes.queue.wait_s
        self._heard[ingress][chosen] = self._now + wait_s
        rate = passes.guessed_per_s
        told = answer(replica=str(chosen), wait_s=wait_s, pass_s=self._pass_s(), tokens_per_s=rate)
        self._ingresses[ingress].learn(told)

    def _exchange(self, ingress: int) -> None:
        reservations = self._ingresses[ingress].reservations
        name, events, _ = reservations.news(self._now)
        reservations.apply(*self._relay.exchange(name, events, self._now), self._now)
        self.after(EXCHANGE_S, self._exchange, ingress)
