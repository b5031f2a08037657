"""The DistilBERT deployment: tokenize, gather a batch by tokens, run the engine, split up again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import ray
from ray import serve

from model.batches import chunks
from model.directory import open_directory
from model.engine import Engine, Scores, choose_precision, load_engine
from model.tokenizer import TextTokenizer
from serve_app.backlog import Backlog
from serve_app.metrics import Metrics
from serve_app.model_client import Classified, Identity, Refused
from serve_app.settings import Settings

WARM_UP_TEXTS = [f"Warm-up sentence {number}, as long as most that will come." for number in range(64)]
"""Different ones, since the engine runs equal ones once."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Token sequences of one request that are batched as one item, when they were queued, and until when they count."""

    sequences: list[list[int]]
    tokens: int
    queued: float
    deadline: float


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
    """One model replica. Its engine runs on one thread, with as many threads inside as the replica has CPUs."""

    def __init__(self, settings: Settings) -> None:
        directory = open_directory(settings.model_dir)
        max_tokens = min(settings.max_tokens, directory.architecture.max_position_embeddings)
        self._tokenizer = TextTokenizer(directory.path, max_tokens)
        self._engine: Engine = load_engine(
            directory, choose_precision(settings.precision), settings.batch_tokens, _threads()
        )
        self._identity = Identity(
            directory.name,
            directory.revision,
            directory.fingerprint(self._engine.precision, max_tokens),
            self._engine.precision,
            directory.labels,
            max_tokens,
            directory.accuracy,
        )
        self._batch_tokens = settings.batch_tokens
        self._metrics = Metrics()
        self._thread = ThreadPoolExecutor(1, "engine")
        self._free = asyncio.Event()
        self._free.set()
        logging.getLogger("ray.serve").addFilter(_token_sizes_are_no_requests)
        self._score.set_max_batch_size(settings.batch_tokens)  # type: ignore[attr-defined]  # added by serve.batch
        self._backlog = Backlog(self._warm_up(), settings.batch_tokens, settings.max_wait_s)

    def identify(self) -> Identity:
        """Which model this replica runs."""
        return self._identity

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
            sum(len(encoding.ids) for encoding in encodings),
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
        """Touch every weight with a full batch; tokens a second of the second one, since the first also compiles."""
        ids = [line.ids for line in self._tokenizer.encode(WARM_UP_TEXTS)]
        for _ in range(2):
            began = time.perf_counter()
            self._engine.score(ids)
        return sum(map(len, ids)) / (time.perf_counter() - began)

    async def _enqueue(self, sequences: list[list[int]], deadline: float) -> Scored | None:
        """Wait until the engine is free, then join the batch that forms.

        serve.batch cuts a batch as soon as it has an item, also while the engine is busy, and so would line up
        batches of one. Held back here, all that came in the meantime enters its queue together.
        """
        chunk = Chunk(sequences, sum(map(len, sequences)), time.perf_counter(), deadline)
        with self._backlog.hold(chunk.tokens):
            await self._free.wait()
            result: Scored | None = await self._score(chunk)
        return result

    @serve.batch(max_batch_size=1024, batch_wait_timeout_s=0.0, batch_size_fn=count_tokens)
    async def _score(self, items: list[Chunk]) -> list[Scored | None]:
        """Run what is not too late by now; None stands for what is."""
        began = time.perf_counter()
        live = [item for item in items if item.deadline > began]
        if not live:
            return [None] * len(items)
        self._free.clear()
        try:
            sequences = [sequence for item in live for sequence in item.sequences]
            loop = asyncio.get_running_loop()
            scores = await loop.run_in_executor(self._thread, self._engine.score, sequences)
            seconds = time.perf_counter() - began
        finally:
            self._free.set()
        tokens = count_tokens(live)
        self._backlog.ran(tokens, seconds)
        self._metrics.batch_texts.observe(len(sequences))
        self._metrics.batch_tokens.observe(tokens)
        self._metrics.waiting_tokens.set(self._backlog.tokens)
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


def _token_sizes_are_no_requests(record: logging.LogRecord) -> bool:
    """Serve warns where a batch's size passes max_ongoing_requests; here the size counts tokens, not requests."""
    return "max_ongoing_requests" not in record.getMessage()
