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
from serve_app.metrics import Metrics
from serve_app.model_client import Classified, Identity
from serve_app.settings import Settings

WARM_UP_TEXTS = ("A warm-up sentence.", "Another one, a good deal longer than the first, to touch every weight.")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Token sequences of one request that are batched as one item, and when they were put in the queue."""

    sequences: list[list[int]]
    tokens: int
    queued: float


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
        self._engine.score([line.ids for line in self._tokenizer.encode(WARM_UP_TEXTS)])

    def identify(self) -> Identity:
        """Which model this replica runs."""
        return self._identity

    async def classify(self, texts: Sequence[str]) -> Classified:
        """Scores of each text, in order; a long list goes through in several batches."""
        began = time.perf_counter()
        encodings = await asyncio.to_thread(self._tokenizer.encode, texts)
        tokenize_ms = (time.perf_counter() - began) * 1000
        parts = [
            [encodings[index].ids for index in run]
            for run in chunks([len(encoding.ids) for encoding in encodings], self._batch_tokens)
        ]
        scored = await asyncio.gather(*(self._enqueue(part) for part in parts))
        return Classified(
            self._identity,
            [scores for part in scored for scores in part.scores],
            [encoding.truncated for encoding in encodings],
            tokenize_ms,
            max((part.queue_ms for part in scored), default=0.0),
            max((part.model_ms for part in scored), default=0.0),
        )

    async def _enqueue(self, sequences: list[list[int]]) -> Scored:
        """Wait until the engine is free, then join the batch that forms.

        serve.batch cuts a batch as soon as it has an item, also while the engine is busy, and so would line up
        batches of one. Held back here, all that came in the meantime enters its queue together.
        """
        queued = time.perf_counter()
        await self._free.wait()
        result: Scored = await self._score(Chunk(sequences, sum(map(len, sequences)), queued))
        return result

    @serve.batch(max_batch_size=1024, batch_wait_timeout_s=0.0, batch_size_fn=count_tokens)
    async def _score(self, items: list[Chunk]) -> list[Scored]:
        self._free.clear()
        try:
            began = time.perf_counter()
            sequences = [sequence for item in items for sequence in item.sequences]
            loop = asyncio.get_running_loop()
            scores = await loop.run_in_executor(self._thread, self._engine.score, sequences)
            model_ms = (time.perf_counter() - began) * 1000
        finally:
            self._free.set()
        self._metrics.batch_texts.observe(len(sequences))
        self._metrics.batch_tokens.observe(count_tokens(items))
        rest = iter(scores)
        return [Scored([next(rest) for _ in item.sequences], (began - item.queued) * 1000, model_ms) for item in items]


def _threads() -> int:
    resources: dict[str, float] = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1)))


def _token_sizes_are_no_requests(record: logging.LogRecord) -> bool:
    """Serve warns where a batch's size passes max_ongoing_requests; here the size counts tokens, not requests."""
    return "max_ongoing_requests" not in record.getMessage()
