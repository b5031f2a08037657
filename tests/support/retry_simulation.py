"""A discrete-event simulation, with the real parts, of ingress replicas and classifiers under ten times their load."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from serve_app.errors import TooBusy
from serve_app.metrics import Metrics
from serve_app.overload.admission import EXCHANGE_S, Admission, Permit
from serve_app.overload.retry_reservations import ReservationRelay
from serve_app.settings import Settings
from tests.support.fakes import answer

RATE = 3700.0
"""Tokens a second of one classifier."""

TOKENS = 250
"""Tokens of one request."""

PASS = 256
"""Tokens of one pass."""

TIMES = 10


@dataclass
class Result:
    """The outcomes of first and second tries, and the waits of admitted ones, in seconds."""

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


class Simulation:
    """Requests arrive at any ingress replica; one that is refused comes back once, as asked, to any of them."""

    def __init__(
        self, ingresses: int, classifiers: int, seconds: float, seed: int, rate: float = RATE, calm_s: float = 0.0
    ) -> None:
        """`rate` is a classifier's, in tokens a second; for `calm_s` at first only as much arrives as it completes."""
        self._rng = random.Random(seed)
        self._rate = rate
        self.now = 1000.0
        self._rises_at = self.now + calm_s
        self._end = self._rises_at + seconds
        metrics = Metrics()
        self._ingresses = [Admission(Settings(), metrics, lambda: self.now) for _ in range(ingresses)]
        self._relay = ReservationRelay()
        self._heard = [[self.now] * classifiers for _ in range(ingresses)]
        self._free = [self.now] * classifiers
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = itertools.count()
        self.result = Result()
        self._load = TIMES * rate * classifiers / TOKENS

    def run(self) -> Result:
        """Run until all requests are answered; the result."""
        for ingress in range(len(self._ingresses)):
            self._at(self.now + self._rng.uniform(0, EXCHANGE_S), self._exchange, ingress)
        arrival, number = self.now, 0
        while arrival < self._end:
            arrival += self._rng.expovariate(self._load if arrival > self._rises_at else self._load / TIMES)
            number += 1
            self._at(arrival, self._first, number.to_bytes(16, "big"))
        while self._events:
            self.now, _, happen, arguments = heapq.heappop(self._events)
            happen(*arguments)
        return self.result

    def _at(self, when: float, happen: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (when, next(self._number), happen, arguments))

    def _first(self, key: bytes) -> None:
        self._arrive(key, second=False)

    def _second(self, key: bytes) -> None:
        self._arrive(key, second=True)

    def _arrive(self, key: bytes, *, second: bool) -> None:
        number = self._rng.randrange(len(self._ingresses))
        admission = self._ingresses[number]
        texts = {key: "x" * (4 * (TOKENS - 2))}
        try:
            permit = admission.admit(texts, admission.redeem(key), math.inf)
            chosen = self._choose(number)
            if (wait_s := self._wait_s(chosen)) > permit.max_wait_s:
                self._learn(number, chosen)
                if admission.has_room_elsewhere(f"classifier {chosen}", permit):
                    chosen = self._choose(number)
            if (wait_s := self._wait_s(chosen)) > permit.max_wait_s:
                admission.leave(permit)
                self._learn(number, chosen)
                raise TooBusy(wait_s)
        except TooBusy as busy:
            refusal = admission.refusal(busy, texts, key, math.inf)
            if second:
                self.result.second_refused += 1
                return
            self.result.first_refused += 1
            after = int(refusal.headers["Retry-After"])
            self.result.retry_after.append(after)
            if self.now + after < self._end:
                self._at(self.now + after + 0.005, self._second, key)
            return
        if second:
            self.result.second_served += 1
        else:
            self.result.first_served += 1
            self.result.first_waits.append(wait_s)
        self._free[chosen] = max(self._free[chosen], self.now) + TOKENS / self._rate
        self._at(self._free[chosen], self._answer, permit, number, chosen)

    def _choose(self, ingress: int) -> int:
        """The classifier on the same node if its last reported wait is within a pass of the shortest."""
        heard = self._heard[ingress]
        near = [
            each for each, ready_at in enumerate(heard) if ready_at <= max(min(heard), self.now) + TOKENS / self._rate
        ]
        local = ingress % len(self._free)
        return local if local in near else self._rng.choice(near)

    def _answer(self, permit: Permit, ingress: int, chosen: int) -> None:
        self._learn(ingress, chosen)
        self._ingresses[ingress].leave(permit)

    def _learn(self, ingress: int, chosen: int) -> None:
        wait_s = self._wait_s(chosen)
        self._heard[ingress][chosen] = self.now + wait_s
        told = answer(replica=f"classifier {chosen}", wait_s=wait_s, pass_s=PASS / self._rate, tokens_per_s=self._rate)
        self._ingresses[ingress].learn(told)

    def _exchange(self, ingress: int) -> None:
        reservations = self._ingresses[ingress].reservations
        name, events, _ = reservations.news(self.now)
        reservations.apply(*self._relay.exchange(name, events, self.now), self.now)
        if self.now < self._end:
            self._at(self.now + EXCHANGE_S, self._exchange, ingress)

    def _wait_s(self, chosen: int) -> float:
        return max(0.0, self._free[chosen] - self.now)
