"""Texts that wait for the engine, and the passes that run them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field

from model.engine import Engine, Lane
from model.labels import Scores

LARGEST_SHARE = 8
"""No request counts for more than this part of the longest wait: the engine serves requests by turns."""

_RATE_WEIGHT = 0.1
_LARGEST_STEP = 2.0
_LEAST_FILL = 0.5
_LEAST_ROOM = 4


@dataclass(eq=False, slots=True)
class Request:
    """Texts of one caller: how many, their guessed tokens, and their scores as they come (None until then)."""

    texts: int
    guessed: int
    urgent: bool = False
    began: float = field(default_factory=time.perf_counter)
    queue_ms: float = 0.0
    """How long the last text has waited."""
    model_ms: float = 0.0
    tokens: int = 0
    """Tokens of its texts that wait or run."""
    running: int = 0
    waiting: deque[tuple[int, Sequence[int]]] = field(default_factory=deque)
    scores: list[Scores | None] = field(init=False)
    missing: int = field(init=False)
    error: Exception | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.scores = [None] * self.texts
        self.missing = self.texts
        if not self.texts:
            self.ended.set()

    @property
    def work(self) -> int:
        """Tokens that wait or run, or are guessed to be in what is not tokenized yet."""
        return self.tokens + self.guessed


class Passes:
    """Runs what waits in passes of at most `pass_tokens`, or of one longer text, one on each of the engine's lanes.

    A pass takes the texts of the requests that have waited longest. A request whose pass has ended goes behind all
    others, so no list of texts holds up a single one for more than a pass; urgent requests go first.
    """

    def __init__(
        self, engine: Engine, threads: Executor, pass_tokens: int, max_wait_s: float, tell: Callable[[int, int], None]
    ) -> None:
        """`tell` is called with the texts and tokens of each pass that ended."""
        self._engine = engine
        self._threads = threads
        self._pass_tokens = pass_tokens
        self._max_wait_s = max_wait_s
        self._tell = tell
        self._free: list[Lane] = list(engine.lanes)
        self._requests: OrderedDict[Request, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self.tokens_per_s = 0.0
        self.busy_s = 0.0
        """How long all lanes together were busy so far, a share of them counting as that share."""

    @property
    def tokens(self) -> int:
        """Tokens that wait or run."""
        return sum(request.work for request in self._requests)

    @property
    def wait_s(self) -> float:
        """How long a new text would wait for its turn."""
        most = max(self._pass_tokens, int(self.tokens_per_s * self._max_wait_s / LARGEST_SHARE))
        return sum(min(request.work, most) for request in self._requests) / self.tokens_per_s

    def warm_up(self, sequences: Sequence[Sequence[int]]) -> None:
        """Touch every weight, and measure the rate by a second round, since the first also compiles."""
        for each in {self._engine, *self._engine.lanes}:  # which are one if there is one thread
            each.score(sequences)
        began = time.perf_counter()
        list(self._threads.map(lambda lane: lane.score(sequences), self._engine.lanes))
        tokens = len(self._engine.lanes) * sum(map(len, sequences))
        self.tokens_per_s = tokens / (time.perf_counter() - began)

    @contextmanager
    def hold(self, request: Request) -> Iterator[None]:
        """Count the request while the block runs, and run what is added to it; what is left then is dropped."""
        self._requests[request] = None
        try:
            yield
        finally:
            self._requests.pop(request, None)
            request.waiting.clear()

    def add(self, request: Request, first: int, sequences: Sequence[Sequence[int]], guessed: int) -> None:
        """Queue the token ids of the request's texts from number `first` on, which were guessed as so many tokens."""
        request.waiting.extend(enumerate(sequences, first))
        request.tokens += sum(map(len, sequences))
        request.guessed -= guessed
        self._start()

    def _start(self) -> None:
        while self._free:
            idle = len(self._free) == len(self._engine.lanes)
            chosen = self._take()
            if not chosen:
                return
            # all threads are the fastest for what is alone; else each runs a pass of its own
            whole = idle and not any(request.waiting for request in self._requests)
            lanes = [self._free.pop() for _ in range(len(self._free) if whole else 1)]
            task = asyncio.get_running_loop().create_task(self._run(chosen, self._engine if whole else lanes[0], lanes))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _take(self) -> list[tuple[Request, int, Sequence[int]]]:
        chosen: list[tuple[Request, int, Sequence[int]]] = []
        room = self._pass_tokens
        for request in sorted(self._requests, key=lambda request: (not request.urgent, request.running > 0)):
            waiting = request.waiting
            while waiting and (not chosen or len(waiting[0][1]) <= room):
                index, ids = waiting.popleft()
                chosen.append((request, index, ids))
                room -= len(ids)
            if room < _LEAST_ROOM:
                break
        return chosen

    async def _run(
        self, chosen: Sequence[tuple[Request, int, Sequence[int]]], lane: Lane, lanes: Sequence[Lane]
    ) -> None:
        began = time.perf_counter()
        requests = dict.fromkeys(request for request, _, _ in chosen)
        for request in requests:
            request.running += 1
            request.queue_ms = (began - request.began) * 1000
        sequences = [ids for _, _, ids in chosen]
        scores: Sequence[Scores | None] = [None] * len(sequences)
        error: Exception | None = None
        try:
            scores = await asyncio.get_running_loop().run_in_executor(self._threads, lane.score, sequences)
        except Exception as failed:  # noqa: BLE001  (for those who wait; the others' passes go on)
            error = failed
        seconds = time.perf_counter() - began
        self._free.extend(lanes)
        self.busy_s += seconds * len(lanes) / len(self._engine.lanes)
        for request in requests:
            request.running -= 1
            request.model_ms += seconds * 1000
            if request in self._requests:
                self._requests.move_to_end(request)
        for (request, index, ids), each in zip(chosen, scores, strict=True):
            request.scores[index] = each
            request.tokens -= len(ids)
            request.missing -= 1
            request.error = request.error or error
            if not request.missing or error:
                request.ended.set()
        self._start()
        tokens = sum(map(len, sequences))
        self._learn(tokens * len(self._engine.lanes) / len(lanes), tokens, seconds)
        self._tell(len(sequences), tokens)

    def _learn(self, all_tokens: float, tokens: int, seconds: float) -> None:
        """Learn the rate from a pass, during which all lanes did `all_tokens`; of small ones the most is overhead."""
        if tokens >= _LEAST_FILL * self._pass_tokens:
            seen = all_tokens / seconds
            seen = min(max(seen, self.tokens_per_s / _LARGEST_STEP), self.tokens_per_s * _LARGEST_STEP)
            self.tokens_per_s += _RATE_WEIGHT * (seen - self.tokens_per_s)
