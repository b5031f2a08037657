"""Runs the queue's texts in passes on the engine's streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import repeat

from model.engine import Engine, Stream
from model.labels import Scores
from serve_app.classifier.queue import Queue, Request
from serve_app.metrics import Metrics
from serve_app.settings import Settings

_RATE_WEIGHT = 0.1
_MAX_RATE_STEP = 2.0
_MIN_FILL = 0.5
_GUESS_TOKENS = 50_000
"""Tokens over which the ratio of real to guessed tokens is averaged, so that a few texts hardly change it."""

_Waiting = tuple[Request, int, Sequence[int]]


class Passes:
    """Runs waiting texts in passes of at most `batch_tokens`, or of one longer text, one pass on each engine stream.

    A pass takes texts of the requests that have waited longest. A request whose pass has ended goes to the end of the
    queue, so a long list delays a single text by one pass at most. Urgent requests go first.
    """

    def __init__(
        self,
        engine: Engine,
        threads: Executor,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._pass_tokens = settings.batch_tokens
        self._metrics = metrics
        self._clock = clock
        self._free: list[Stream] = list(engine.streams)
        self._tokens_per_guess = 1.0
        self.queue = Queue(settings, clock)
        self.ran_s = 0.0
        """Busy seconds so far; a pass on some of the streams counts by its share of them."""

    @property
    def guessed_per_s(self) -> float:
        """Guessed tokens completed per second."""
        return self.queue.tokens_per_s / self._tokens_per_guess

    def warm_up(self, sequences: Sequence[Sequence[int]]) -> None:
        """Touch every weight, then measure the rate in a second round, since the first also compiles."""
        for each in {self._engine, *self._engine.streams}:  # the same object if there is one thread
            each.score(sequences)
        began = self._clock()
        list(self._threads.map(lambda stream: stream.score(sequences), self._engine.streams))
        tokens = len(self._engine.streams) * sum(map(len, sequences))
        self.queue.tokens_per_s = tokens / (self._clock() - began)

    def add(self, request: Request, first: int, sequences: Sequence[Sequence[int]], guessed: int) -> None:
        """Queue token ids of the request's texts from index `first` on, which were counted as `guessed` tokens."""
        tokens = sum(map(len, sequences))
        request.waiting.extend(enumerate(sequences, first))
        request.work += tokens - guessed
        self.queue.recount(request)
        weight, ratio = min(1.0, tokens / _GUESS_TOKENS), tokens / max(1, guessed)
        self._tokens_per_guess += weight * (ratio - self._tokens_per_guess)
        self.queue.end_newest_late()
        self._start()

    def _start(self) -> None:
        while self._free and (chosen := self._next_pass()):
            # a lone pass is fastest on all threads; otherwise each stream runs a pass of its own
            idle = len(self._free) == len(self._engine.streams)
            whole = idle and not any(request.waiting for request in self.queue)
            streams = [self._free.pop() for _ in range(len(self._free) if whole else 1)]
            began = self._clock()
            for request in {request for request, _, _ in chosen}:
                request.running += 1
                request.queue_ms = (began - request.began) * 1000
            run = self._run(self._engine if whole else streams[0], [ids for _, _, ids in chosen])
            run.add_done_callback(partial(self._end, chosen, streams, began))

    def _run(self, stream: Stream, sequences: Sequence[Sequence[int]]) -> asyncio.Future[list[Scores]]:
        return asyncio.get_running_loop().run_in_executor(self._threads, stream.score, sequences)

    def _next_pass(self) -> list[_Waiting]:
        chosen: list[_Waiting] = []
        room = self._pass_tokens
        for runs in (False, True):  # first those that no other stream runs
            for request in self.queue:
                if (request.running > 0) != runs:
                    continue
                while request.waiting and (not chosen or len(request.waiting[0][1]) <= room):
                    index, ids = request.waiting.popleft()
                    chosen.append((request, index, ids))
                    room -= len(ids)
                if room <= 0:
                    return chosen
        return chosen

    def _end(self, chosen: list[_Waiting], used: list[Stream], began: float, run: asyncio.Future[list[Scores]]) -> None:
        seconds = self._clock() - began
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
            self.queue.recount(request, ran=True)
            if request.error or None not in request.scores:
                request.ended.set()
        self.queue.end_newest_late()
        self._start()
        tokens = sum(len(ids) for _, _, ids in chosen)
        ran = sum(map(len, {tuple(ids) for _, _, ids in chosen}))  # the engine runs equal texts once
        if ran >= _MIN_FILL * self._pass_tokens:  # a smaller pass is mostly overhead
            seen = ran * len(self._engine.streams) / len(used) / seconds / self.queue.tokens_per_s
            self.queue.tokens_per_s *= 1 + _RATE_WEIGHT * (min(max(seen, 1 / _MAX_RATE_STEP), _MAX_RATE_STEP) - 1)
        self._metrics.batch_texts.observe(len(chosen))
        self._metrics.batch_tokens.observe(tokens)
