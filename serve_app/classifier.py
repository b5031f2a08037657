"""The DistilBERT deployment: tokenize, gather a batch by tokens, run the engine, split up again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import ray
from ray import serve

from model.batches import chunks
from model.directory import open_directory
from model.engine import Engine, Lane, load_engine
from model.labels import Scores
from model.tokenizer import TextTokenizer
from serve_app.backlog import Backlog
from serve_app.identity import identify
from serve_app.lanes import LARGER, Lanes
from serve_app.metrics import Metrics
from serve_app.model_client import Classified, Refused
from serve_app.settings import Settings

NICENESS = 10
"""How much the engine's threads stand back behind everything else where SCHED_IDLE is forbidden."""

WARM_UP_TEXTS = [f"Warm-up sentence {number}, as long as most that will come." for number in range(64)]
"""Different ones, since the engine runs equal ones once."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Token sequences of one request that are batched as one item, when they came, and until when they count."""

    sequences: list[list[int]]
    tokens: int
    queued: float
    deadline: float
    whole: bool
    """Whether it is to have the engine for itself, with all its threads."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A chunk's scores, in order, with its times in milliseconds."""

    scores: list[Scores]
    queue_ms: float
    model_ms: float


def count_tokens(items: list[Chunk]) -> int:
    """Tokens of the chunks together. Must never raise: that would end Serve's batching loop for good."""
    return sum(item.tokens for item in items)


class Classifier:
    """One model replica. Its engine has as many threads as the replica has CPUs."""

    def __init__(self, settings: Settings) -> None:
        directory = open_directory(settings.model_dir)
        self._identity = identify(directory, settings)
        self._tokenizer = TextTokenizer(directory.path, self._identity.max_tokens)
        threads = _threads()
        self._threads = ThreadPoolExecutor(threads, "engine", initializer=_stand_back)
        # loaded on one of these threads, since the runtime's own take their priority from it
        load = self._threads.submit(load_engine, directory, self._identity.precision, threads)
        self._engine: Engine = load.result()
        self._batch_tokens = settings.batch_tokens
        self._metrics = Metrics()
        self._lanes: Lanes[Lane] = Lanes(self._engine.lanes, settings.batch_tokens)
        logging.getLogger("ray.serve").addFilter(_token_sizes_are_no_requests)
        # one text may be longer than a batch
        self._score.set_max_batch_size(max(LARGER * settings.batch_tokens, self._identity.max_tokens))  # type: ignore[attr-defined]  # by serve.batch
        self._backlog = Backlog(self._warm_up(), settings.batch_tokens, settings.max_wait_s)

    async def classify(self, texts: Sequence[str], timeout_s: float, bounded: bool = True) -> Classified | Refused:  # noqa: FBT001, FBT002
        """Scores of each text, in order; a long list goes through in several batches.

        Refused where the replica is full, unless the call is not `bounded`, and where `timeout_s` is over before the
        turn of every text has come. That is an answer and no error, since Serve logs errors and wraps them.
        """
        deadline = time.perf_counter() + timeout_s
        if bounded and self._backlog.full:
            return Refused(self._backlog.wait_s)
        began = time.perf_counter()
        encodings = await asyncio.to_thread(self._tokenizer.encode, texts)
        tokenize_ms = (time.perf_counter() - began) * 1000
        parts = [
            [encodings[index].ids for index in run]
            for run in chunks([len(encoding.ids) for encoding in encodings], self._batch_tokens)
        ]
        if bounded and self._backlog.full:  # by those who were tokenized at the same time
            return Refused(self._backlog.wait_s)
        tokens = sum(len(encoding.ids) for encoding in encodings)
        with self._hold(tokens):  # at once: others may look before the tasks begin
            scored = await asyncio.gather(*(self._enqueue(part, deadline) for part in parts))
        done = [part for part in scored if part is not None]
        if len(done) < len(scored):
            return Refused(self._backlog.wait_s, late=True)
        return Classified(
            self._identity,
            [scores for part in done for scores in part.scores],
            [encoding.truncated for encoding in encodings],
            tokenize_ms,
            max((part.queue_ms for part in done), default=0.0),
            max((part.model_ms for part in done), default=0.0),
            tokens,
            self._backlog.tokens_per_s,
        )

    async def check_health(self) -> None:
        """What Serve calls now and then, to replace a replica in which it fails.

        Raises:
            RuntimeError: the loop that forms batches has ended, so that no request would ever be answered.
        """
        if not await self._score._is_batching_task_alive():  # type: ignore[attr-defined]  # noqa: SLF001  (Serve offers no other)
            raise RuntimeError("the batching loop has ended")

    def _warm_up(self) -> float:
        """Touch every weight with full batches; tokens a second of the last ones, since the first also compile."""
        ids = [line.ids for line in self._tokenizer.encode(WARM_UP_TEXTS)]
        lanes = self._engine.lanes
        for each in {self._engine, *lanes}:  # which are one where there is one thread
            each.score(ids)
        began = time.perf_counter()
        list(self._threads.map(lambda lane: lane.score(ids), lanes))
        return len(lanes) * sum(map(len, ids)) / (time.perf_counter() - began)

    @contextlib.contextmanager
    def _hold(self, tokens: int) -> Iterator[None]:
        """Count the tokens as waiting while the block runs, and tell so, also when it was the last."""
        try:
            with self._backlog.hold(tokens):
                self._metrics.waiting_tokens.set(self._backlog.tokens)
                yield
        finally:
            self._metrics.waiting_tokens.set(self._backlog.tokens)

    async def _enqueue(self, sequences: list[list[int]], deadline: float) -> Scored | None:
        """Wait for a turn on the engine, then join the batch that forms."""
        queued, tokens = time.perf_counter(), sum(map(len, sequences))
        async with self._lanes.turn(tokens) as whole:
            result: Scored | None = await self._score(Chunk(sequences, tokens, queued, deadline, whole))
        return result

    # of batches side by side there are as many as lanes, of which Lanes makes sure
    @serve.batch(max_batch_size=1024, batch_wait_timeout_s=0.0, max_concurrent_batches=1024, batch_size_fn=count_tokens)
    async def _score(self, items: list[Chunk]) -> list[Scored | None]:
        """Run what is not too late by now; None stands for what is."""
        whole = items[0].whole
        async with self._lanes.take(whole=whole) as lane:
            began = time.perf_counter()
            live = [item for item in items if item.deadline > began]
            sequences = [sequence for item in live for sequence in item.sequences]
            if not live:
                return [None] * len(items)
            run = (self._engine if whole else lane).score
            scores = await asyncio.get_running_loop().run_in_executor(self._threads, run, sequences)
            seconds = time.perf_counter() - began
        tokens = count_tokens(live)
        self._backlog.ran(tokens, seconds if whole else seconds / len(self._engine.lanes))
        self._metrics.batch_texts.observe(len(sequences))
        self._metrics.batch_tokens.observe(tokens)
        rest = iter(scores)
        return [
            Scored([next(rest) for _ in item.sequences], (began - item.queued) * 1000, seconds * 1000)
            if item.deadline > began
            else None
            for item in items
        ]


def _threads() -> int:
    resources: dict[str, float] = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1)))


def _stand_back() -> None:
    """Have this thread run only where nothing else of the service wants its CPU.

    What shares the CPU, as an ingress does, works for a moment at a time. SCHED_IDLE lets it begin that moment at once,
    where a low priority would first let this thread finish its slice.
    """
    if sys.platform == "linux":  # where each thread has a policy of its own
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
        with contextlib.suppress(PermissionError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _token_sizes_are_no_requests(record: logging.LogRecord) -> bool:
    """Serve warns where a batch's size passes max_ongoing_requests; here the size counts tokens, not requests."""
    return "max_ongoing_requests" not in record.getMessage()
