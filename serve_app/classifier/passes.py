"""Queues tokenized texts, and runs them in passes on the engine's streams."""

from __future__ import annotations

import asyncio
import math
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
_MAX_RATE_STEP = 2.0
_MIN_FILL = 0.5
_GUESS_TOKENS = 50_000
"""Tokens over which the ratio of real to guessed tokens is averaged, so that a few texts hardly change it."""


@dataclass(eq=False, slots=True)
class Request:
    """One caller's texts: their scores, None until computed, and the work that they still need."""

    scores: list[Scores | None]
    work: int
    """Tokens that wait or run, and the guessed tokens of texts that are not tokenized yet."""
    max_wait_s: float = math.inf
    """Infinite for an urgent request."""
    timeout_s: float = math.inf
    began: float = field(default_factory=time.perf_counter)
    queue_ms: float = 0.0
    """Time from arrival until the last pass began."""
    model_ms: float = 0.0
    running: int = 0
    waiting: deque[tuple[int, Sequence[int]]] = field(default_factory=deque)
    error: BaseException | None = None
    busy_s: float = 0.0
    """Above 0 if it was refused: the seconds of others' work."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


_Waiting = tuple[Request, int, Sequence[int]]


class Passes:
    """Runs waiting texts in passes of at most `batch_tokens`, or of one longer text, one pass on each engine stream.

    A pass takes texts of the requests that have waited longest. A request whose pass has ended goes to the end of the
    queue, so a long list delays a single text by one pass at most. Urgent requests go first.
    """

    def __init__(self, engine: Engine, threads: Executor, settings: Settings, metrics: Metrics) -> None:
        self._engine = engine
        self._threads = threads
        self._pass_tokens = settings.batch_tokens
        self._max_wait_s = settings.max_wait_s
        self._metrics = metrics
        self._free: list[Stream] = list(engine.streams)
        self._requests: OrderedDict[Request, None] = OrderedDict()
        self._tokens_per_guess = 1.0
        self.tokens_per_s = 0.0
        self.ran_s = 0.0
        """Busy seconds so far; a pass on some of the streams counts by its share of them."""

    @property
    def tokens(self) -> int:
        """Tokens that wait or run."""
        return sum(request.work for request in self._requests)

    @property
    def guessed_per_s(self) -> float:
        """Guessed tokens completed per second."""
        return self.tokens_per_s / self._tokens_per_guess

    @property
    def wait_s(self) -> float:
        """Seconds until the pass of a new text would begin."""
        return sum(map(self._turn, self._requests)) / self.tokens_per_s

    def _turn(self, request: Request) -> int:
        """Tokens of the request's next pass."""
        longest = len(request.waiting[0][1]) if request.waiting else 0
        return min(request.work, max(self._pass_tokens, longest))

    def admit(self, request: Request) -> bool:
        """Whether the request would wait no longer than its `max_wait_s`; otherwise sets its `busy_s`.

        A request larger than a pass must also finish within its time-out, after all the work ahead, and others must
        still do so beside it. If that work is short the request starts anyway, so that even the largest is answered in
        a few tries. So does one at a time that returned when told, or shorter lists would keep it out for ever.
        """
        wait_s, ahead_s = self.wait_s, self.tokens / self.tokens_per_s
        stays = self._returned(request) and not any(map(self._returned, self._lists()))
        if request.work > self._pass_tokens and not stays:
            late = ahead_s + request.work / self.tokens_per_s > request.timeout_s
            if late or any(self._late(other, request.work) for other in self._lists()):
                wait_s = ahead_s
        request.busy_s = wait_s if wait_s > request.max_wait_s else 0.0
        return not request.busy_s

    def warm_up(self, sequences: Sequence[Sequence[int]]) -> None:
        """Touch every weight, then measure the rate in a second round, since the first also compiles."""
        for each in {self._engine, *self._engine.streams}:  # the same object if there is one thread
            each.score(sequences)
        began = time.perf_counter()
        list(self._threads.map(lambda stream: stream.score(sequences), self._engine.streams))
        tokens = len(self._engine.streams) * sum(map(len, sequences))
        self.tokens_per_s = tokens / (time.perf_counter() - began)

    @contextmanager
    def track(self, request: Request) -> Iterator[None]:
        """Count the request, and run the texts added to it, while the block runs; then drop those still waiting."""
        self._requests[request] = None
        try:
            yield
        finally:
            self._requests.pop(request, None)
            request.waiting.clear()
            self._metrics.waiting_tokens.value = self.tokens

    def add(self, request: Request, first: int, sequences: Sequence[Sequence[int]], guessed: int) -> None:
        """Queue token ids of the request's texts from index `first` on, which were counted as `guessed` tokens."""
        tokens = sum(map(len, sequences))
        request.waiting.extend(enumerate(sequences, first))
        request.work += tokens - guessed
        self._metrics.waiting_tokens.value = self.tokens
        weight, ratio = min(1.0, tokens / _GUESS_TOKENS), tokens / max(1, guessed)
        self._tokens_per_guess += weight * (ratio - self._tokens_per_guess)
        self._end_newest_late()
        self._start()

    def _lists(self) -> list[Request]:
        return [request for request in self._requests if request.work > self._pass_tokens]

    def _returned(self, request: Request) -> bool:
        """Whether the request has a retry time, so that it may wait longer than a new one."""
        return request.max_wait_s > self._max_wait_s

    def _shares(self, request: Request) -> int:
        """Tokens until the request is done: since all take turns, another delays it by no more than its own work."""
        return sum(min(request.work, other.work) for other in self._requests)

    def _left(self, request: Request) -> float:
        """Tokens until the request's time-out."""
        return (request.began + request.timeout_s - time.perf_counter()) * self.tokens_per_s

    def _late(self, request: Request, more: int = 0) -> bool:
        """Whether the request would be done in time alone, and is not beside the others and `more` tokens."""
        left = self._left(request)
        return request.work <= left < self._shares(request) + min(request.work, more)

    def _end_newest_late(self) -> None:
        """End the newest list if not all are done in time, so that older ones are.

        It was admitted by guessed tokens and an earlier rate; its caller gets the scores that it has.
        """
        lists = self._lists()
        if not lists or self.tokens <= min(map(self._left, lists)):
            return
        others_late = any(map(self._late, lists))
        for request in sorted(lists, key=lambda request: request.began, reverse=True):
            shares = self._shares(request)
            others_s = (shares - request.work) / self.tokens_per_s
            late = others_late or shares > self._left(request)
            if late and others_s > request.max_wait_s and not self._returned(request):
                request.busy_s = others_s
                request.ended.set()
                del self._requests[request]
                return

    def _start(self) -> None:
        while self._free and (chosen := self._next_pass()):
            # a lone pass is fastest on all threads; otherwise each stream runs a pass of its own
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

    def _next_pass(self) -> list[_Waiting]:
        chosen: list[_Waiting] = []
        room = self._pass_tokens
        for request in sorted(self._requests, key=lambda request: (request.max_wait_s < math.inf, request.running > 0)):
            while request.waiting and (not chosen or len(request.waiting[0][1]) <= room):
                index, ids = request.waiting.popleft()
                chosen.append((request, index, ids))
                room -= len(ids)
        return chosen

    def _end(self, chosen: list[_Waiting], used: list[Stream], began: float, run: asyncio.Future[list[Scores]]) -> None:
        seconds = time.perf_counter() - began
        self._free.extend(used)
        self.ran_s += seconds * len(used) / len(self._engine.streams)
        error = run.exception()  # raised to this pass's callers; other passes go on
        for (request, index, ids), scores in zip(chosen, repeat(None) if error else run.result(), strict=False):
            request.scores[index] = scores
            request.work -= len(ids)
        for request in dict.fromkeys(request for request, _, _ in chosen):
            request.running -= 1
            request.model_ms += seconds * 1000
            if error:
                request.error = request.error or error
                request.waiting.clear()
            if request in self._requests:
                self._requests.move_to_end(request)
            if request.error or None not in request.scores:
                request.ended.set()
        self._end_newest_late()
        self._start()
        tokens = sum(len(ids) for _, _, ids in chosen)
        ran = sum(map(len, {tuple(ids) for _, _, ids in chosen}))  # the engine runs equal texts once
        if ran >= _MIN_FILL * self._pass_tokens:  # a smaller pass is mostly overhead
            seen = ran * len(self._engine.streams) / len(used) / seconds / self.tokens_per_s
            self.tokens_per_s *= 1 + _RATE_WEIGHT * (min(max(seen, 1 / _MAX_RATE_STEP), _MAX_RATE_STEP) - 1)
        self._metrics.batch_texts.observe(len(chosen))
        self._metrics.batch_tokens.observe(tokens)
