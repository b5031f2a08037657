"""Texts that wait for the engine, and the passes that run them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat

from model.engine import Engine, Stream
from model.labels import Scores
from serve_app.metrics import Metrics
from serve_app.settings import Settings

_RATE_WEIGHT = 0.1
_LARGEST_STEP = 2.0
_MIN_FILL = 0.5
REPORT_S = 0.1
"""How long after a change waiting tokens are reported as a metric."""
_GUESS_TOKENS = 50_000
"""How many tokens it takes to learn how far guesses are off: a few texts cannot move that far."""


@dataclass(eq=False, slots=True)
class Request:
    """Texts of one caller: their scores, None until they are there, and how many tokens they are guessed to have."""

    scores: list[Scores | None]
    work: int
    """Tokens that wait or run, or are guessed to be in what is not tokenized yet."""
    urgent: bool = False
    began: float = field(default_factory=time.perf_counter)
    queue_ms: float = 0.0
    """How long the last text has waited."""
    model_ms: float = 0.0
    running: int = 0
    waiting: deque[tuple[int, Sequence[int]]] = field(default_factory=deque)
    error: BaseException | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


_Waiting = tuple[Request, int, Sequence[int]]


class Passes:
    """Runs what waits in passes of at most `batch_tokens`, or of one longer text, one on each of the engine's streams.

    A pass takes the texts of the requests that have waited longest. A request whose pass has ended goes behind all
    others, so no list of texts holds up a single one for more than a pass; urgent requests go first.
    """

    def __init__(self, engine: Engine, threads: Executor, settings: Settings, metrics: Metrics) -> None:
        self._engine = engine
        self._threads = threads
        self._pass_tokens = settings.batch_tokens
        self._metrics = metrics
        self._free: list[Stream] = list(engine.streams)
        self._requests: OrderedDict[Request, None] = OrderedDict()
        self._tokens_a_guess = 1.0
        self._next_report: asyncio.TimerHandle | None = None
        self.tokens_per_s = 0.0
        self.ran_s = 0.0
        """How long all streams together were busy so far, a share of them counting as that share."""

    @property
    def tokens(self) -> int:
        """Tokens that wait or run."""
        return sum(request.work for request in self._requests)

    @property
    def guessed_per_s(self) -> float:
        """The rate in guessed tokens."""
        return self.tokens_per_s / self._tokens_a_guess

    @property
    def wait_s(self) -> float:
        """How long a new text would wait for its turn."""
        return sum(min(request.work, self._pass_tokens) for request in self._requests) / self.tokens_per_s

    def busy_s(self, request: Request, max_wait_s: float, timeout_s: float) -> float:
        """How long what is here takes, if the request had to wait longer than `max_wait_s` for that; otherwise 0.

        One that is larger than a pass must also be done in time, together with all that is here. If little is here
        it is begun all the same, so that the largest is answered in a few tries.
        """
        wait_s, ahead_s = self.wait_s, self.tokens / self.tokens_per_s
        if request.work > self._pass_tokens and ahead_s + request.work / self.tokens_per_s > timeout_s:
            wait_s = ahead_s
        return wait_s if wait_s > max_wait_s else 0.0

    def warm_up(self, sequences: Sequence[Sequence[int]]) -> None:
        """Touch every weight, and measure the rate by a second round, since the first also compiles."""
        for each in {self._engine, *self._engine.streams}:  # which are one if there is one thread
            each.score(sequences)
        began = time.perf_counter()
        list(self._threads.map(lambda stream: stream.score(sequences), self._engine.streams))
        tokens = len(self._engine.streams) * sum(map(len, sequences))
        self.tokens_per_s = tokens / (time.perf_counter() - began)

    @contextmanager
    def hold(self, request: Request) -> Iterator[None]:
        """Count the request while the block runs, and run what is added to it; what is left then is dropped."""
        self._requests[request] = None
        try:
            yield
        finally:
            del self._requests[request]
            request.waiting.clear()
            self._report()

    def _report(self) -> None:
        if self._next_report is None:  # each report takes as long as a tenth of a short text
            self._next_report = asyncio.get_running_loop().call_later(REPORT_S, self._report_now)

    def _report_now(self) -> None:
        self._next_report = None
        self._metrics.waiting_tokens.set(self.tokens)

    def add(self, request: Request, first: int, sequences: Sequence[Sequence[int]], guessed: int) -> None:
        """Queue the token ids of the request's texts from number `first` on, which were guessed as so many tokens."""
        tokens = sum(map(len, sequences))
        request.waiting.extend(enumerate(sequences, first))
        request.work += tokens - guessed
        self._report()
        self._tokens_a_guess += min(1.0, tokens / _GUESS_TOKENS) * (tokens / max(1, guessed) - self._tokens_a_guess)
        self._start()

    def _start(self) -> None:
        while self._free and (chosen := self._take()):
            # all threads are the fastest for what is alone; otherwise each runs a pass of its own
            idle = len(self._free) == len(self._engine.streams)
            whole = idle and not any(request.waiting for request in self._requests)
            streams = [self._free.pop() for _ in range(len(self._free) if whole else 1)]
            score = (self._engine if whole else streams[0]).score
            began = time.perf_counter()
            for request in {request for request, _, _ in chosen}:
                request.running += 1
                request.queue_ms = (began - request.began) * 1000
            run = asyncio.get_running_loop().run_in_executor(self._threads, score, [ids for _, _, ids in chosen])
            run.add_done_callback(partial(self._end, chosen, streams, began))

    def _take(self) -> list[_Waiting]:
        chosen: list[_Waiting] = []
        room = self._pass_tokens
        for request in sorted(self._requests, key=lambda request: (not request.urgent, request.running > 0)):
            while request.waiting and (not chosen or len(request.waiting[0][1]) <= room):
                index, ids = request.waiting.popleft()
                chosen.append((request, index, ids))
                room -= len(ids)
        return chosen

    def _end(self, chosen: list[_Waiting], used: list[Stream], began: float, run: asyncio.Future[list[Scores]]) -> None:
        seconds = time.perf_counter() - began
        self._free.extend(used)
        self.ran_s += seconds * len(used) / len(self._engine.streams)
        error = run.exception()  # for those who wait; the others' passes go on
        for (request, index, ids), scores in zip(chosen, repeat(None) if error else run.result(), strict=False):
            request.scores[index] = scores
            request.work -= len(ids)
        for request in dict.fromkeys(request for request, _, _ in chosen):
            request.running -= 1
            request.model_ms += seconds * 1000
            request.error = request.error or error
            if request in self._requests:
                self._requests.move_to_end(request)
            if request.error or None not in request.scores:
                request.ended.set()
        self._start()
        tokens = sum(len(ids) for _, _, ids in chosen)
        if tokens >= _MIN_FILL * self._pass_tokens:  # of smaller ones the most is overhead
            seen = tokens * len(self._engine.streams) / len(used) / seconds / self.tokens_per_s
            self.tokens_per_s *= 1 + _RATE_WEIGHT * (min(max(seen, 1 / _LARGEST_STEP), _LARGEST_STEP) - 1)
        self._metrics.batch_texts.observe(len(chosen))
        self._metrics.batch_tokens.observe(tokens)
