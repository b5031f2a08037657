"""Every metric of the service, in one list. Ray exports them, as `ray_<name>`, on each node's metrics port."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter as Count
from collections.abc import Sequence
from itertools import accumulate

from ray.util.metrics import Counter, Gauge, Histogram

_MILLISECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000]
_COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]


_FLUSH_S = 1.0


class BufferedCounter:
    """A buffered counter with one tag for the hot path, flushed to Ray every second."""

    def __init__(self, name: str, description: str, tag: str) -> None:
        self._counter = Counter(name, description, (tag,))
        self._tag = tag
        self._counts: Count[str] = Count()

    def add(self, value: str, number: int) -> None:
        """Count `number` under the tag's `value`."""
        self._counts[value] += number

    def flush(self) -> None:
        """Send the counts to Ray."""
        counts, self._counts = self._counts, Count()
        for value, number in counts.items():
            if number:
                self._counter.inc(number, tags={self._tag: value})


class BufferedHistogram:
    """A buffered histogram for the hot path: cumulative counters with the tag `le`, flushed to Ray every second.

    Ray's own histogram takes 3 us for each value.
    """

    def __init__(self, name: str, description: str, boundaries: Sequence[float]) -> None:
        self._counter = Counter(f"{name}_bucket", description, ("le",))
        self._boundaries = boundaries
        self._tags = [*(f"{boundary:g}" for boundary in boundaries), "+Inf"]
        self._counts = [0] * len(self._tags)

    def observe(self, value: float) -> None:
        """Count the value."""
        self._counts[bisect_left(self._boundaries, value)] += 1

    def flush(self) -> None:
        """Send the counts to Ray."""
        counts, self._counts = self._counts, [0] * len(self._tags)
        for tag, number in zip(self._tags, accumulate(counts), strict=True):
            if number:
                self._counter.inc(number, tags={"le": tag})


class BufferedGauge:
    """A buffered gauge for the hot path: keeps the last value until it is flushed to Ray, unless it is None."""

    def __init__(self, name: str, description: str, value: float | None = 0.0) -> None:
        self._gauge = Gauge(name, description)
        self.value = value

    def add(self, number: float) -> None:
        """Add to the value."""
        self.value = (self.value or 0.0) + number

    def flush(self) -> None:
        """Send the value to Ray."""
        if self.value is not None:
            self._gauge.set(self.value)


class Metrics:
    """The service's counters, gauges and histograms; one instance a replica."""

    def __init__(self) -> None:
        self.requests = BufferedCounter(
            "sentiment_requests", "Requests answered, by HTTP status; 499: the client had gone.", "status"
        )
        self.request_ms = BufferedHistogram(
            "sentiment_request_ms", "Requests answered within `le` ms of their arrival in the ingress.", _MILLISECONDS
        )
        self.texts = BufferedCounter(
            "sentiment_texts", "Texts answered, by where the answer came from: hit, miss, coalesced.", "source"
        )
        self.hits = BufferedCounter("sentiment_cache_hits", "Texts found in the cache, by tier: memory, redis.", "tier")
        self.errors = BufferedCounter(
            "sentiment_errors", "Requests refused or failed, by error type: too_busy, too_late, and others.", "type"
        )
        self.redis_errors = Counter("sentiment_redis_errors", "Redis commands failed or late.", ("command",))
        self.redis_up = BufferedGauge(
            "sentiment_redis_up", "1 while Redis is used, 0 while it cannot be; nothing without REDIS_URL.", None
        )
        self.bad_values = Counter("sentiment_redis_bad_values", "Values in Redis that were no prediction.")
        self.dropped_writes = Counter("sentiment_redis_dropped_writes", "Answers not written to Redis.")
        self.model_retries = Counter("sentiment_model_retries", "Model calls tried again on another replica.")
        self.stage_ms = Histogram(
            "sentiment_stage_ms",
            "Time of a request's stages in ms: cache, queue, tokenize, model.",
            boundaries=_MILLISECONDS,
            tag_keys=("stage",),
        )
        self.batch_texts = Histogram(
            "sentiment_batch_texts", "Texts run in one batch of the model.", boundaries=list(map(float, _COUNTS))
        )
        self.batch_tokens = Histogram(
            "sentiment_batch_tokens", "Tokens run in one batch of the model.", boundaries=list(map(float, _COUNTS))
        )
        self.outstanding_tokens = BufferedGauge(
            "sentiment_outstanding_tokens", "Tokens that an ingress replica has with the model."
        )
        self.drain_tokens_per_s = BufferedGauge(
            "sentiment_drain_tokens_per_s", "Tokens that the model completes in a second for an ingress replica."
        )
        self.waiting_tokens = Gauge("sentiment_waiting_tokens", "Tokens that wait or run in a model replica.")
        self.healthy = Gauge("sentiment_healthy", "1 while a recent prediction has succeeded, otherwise 0.")
        self._flusher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to flush the buffered metrics every second."""
        self._flusher = asyncio.create_task(self._flush_forever())

    async def close(self) -> None:
        """Flush for the last time."""
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.gather(self._flusher, return_exceptions=True)
        self._flush()

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self._flush()

    def _flush(self) -> None:
        for each in (
            self.requests,
            self.request_ms,
            self.texts,
            self.hits,
            self.errors,
            self.outstanding_tokens,
            self.drain_tokens_per_s,
            self.redis_up,
        ):
            each.flush()
