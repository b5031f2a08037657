"""The Redis tier: gathered MGETs, writes off the road, time limits and a breaker around both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, RedisError

from serve_app.cache.breaker import Breaker
from serve_app.cache.gather import Gather
from serve_app.metrics import Metrics
from serve_app.prediction import BadValue, Prediction, dump, load
from serve_app.settings import Settings

PREFIX = "fastapi-cache-project::"
WRITE_TIMEOUT_S = 1.0  # nobody waits for a write
MAX_PENDING = 10_000
MOST_KEYS = 1000  # in one MGET, if several requests share it
KEEP_INTERVAL_S = 0.1

T = TypeVar("T")


class RedisCache:
    """Predictions of one model in Redis, under `fastapi-cache-project::<fingerprint>:<hash of the text>`."""

    def __init__(
        self,
        settings: Settings,
        fingerprint: str,
        labels: tuple[str, ...],
        metrics: Metrics,
        *,
        sum_to_one: bool = True,
    ) -> None:
        if settings.redis_url is None:
            raise ValueError("RedisCache needs redis_url")
        self._reads = Gather(self._read, settings.redis_timeout_ms / 1000, MOST_KEYS)
        # kept connections without time limits of the client's: there is one read at a time, beside one write, and each
        # command has its deadline; with a pool and the client's timers a read would cost half as much again
        self._client = Redis.from_url(
            settings.redis_url.get_secret_value(),
            single_connection_client=True,
            socket_timeout=None,
            socket_connect_timeout=WRITE_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        # a read is on the road of every request that the in-process tier does not answer: on a connection without the
        # client around it, it costs less CPU
        self._for_reads: AbstractConnection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        self._prefix = f"{PREFIX}{fingerprint}:"
        self._labels = labels
        self._sum_to_one = sum_to_one
        self._ttl_s = settings.cache_ttl_s
        self._jitter = settings.cache_ttl_jitter
        self._metrics = metrics
        self._breaker = Breaker(settings.redis_max_failures, settings.redis_probe_s, self._ping)
        self._writes: dict[bytes, Prediction] = {}
        self._kept: dict[bytes, Prediction] = {}
        self._writer: asyncio.Task[None] | None = None

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Prediction]:
        """One MGET, shared with those who ask meanwhile; nothing where Redis fails, is late, or the breaker is open."""
        if self._breaker.open:
            return {}
        found = await self._reads.get(keys)
        return {key: found[key] for key in keys if key in found}

    def put_soon(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Queue for the background writer; past the bound, and while the breaker is open, they are dropped."""
        if self._breaker.open or len(self._writes) >= MAX_PENDING:
            self._metrics.dropped_writes.inc(len(predictions))
            return
        self._writes.update(predictions)
        self._wake()

    def keep_soon(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Queue for the next TOUCH, which tells Redis what the in-process tier answers in its place.

        Without it, the hottest texts would look unused to Redis' eviction, and after FLUSHALL, or a restart,
        they would never come back for other replicas.
        """
        if self._breaker.open or len(self._kept) >= MAX_PENDING:
            return
        self._kept.update(predictions)
        self._wake()

    async def close(self) -> None:
        """Write what is queued, then close."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._breaker.close()
        await self._for_reads.disconnect()
        await self._client.aclose()

    async def _read(self, keys: list[bytes], deadline: float) -> dict[bytes, Prediction]:
        if self._breaker.open:
            return {}
        values = await self._ask("get", deadline, lambda: self._mget(keys))
        found: dict[bytes, Prediction] = {}
        for key, value in zip(keys, values or (), strict=False):
            if value is not None:
                try:
                    found[key] = load(value, self._labels, sum_to_one=self._sum_to_one)
                except BadValue:
                    self._metrics.bad_values.inc()
        return found

    async def _mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        # connects where it has to; where an error or a deadline ends it, the connection closes itself, so that no
        # answer is left for the next who asks
        await self._for_reads.send_command("MGET", *map(self._name, keys))
        values: list[bytes | None] = await self._for_reads.read_response()
        return values

    def _wake(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write all that is queued, at most one round every KEEP_INTERVAL_S, until nothing is left."""
        while self._writes or self._kept:
            kept, self._kept = self._kept, {}
            lost = await self._lost(kept)
            writes, self._writes = {**lost, **self._writes}, {}
            if writes and not self._breaker.open:
                await self._ask("put", _write_deadline(), lambda writes=writes: self._store(writes))  # type: ignore[misc]
            await asyncio.sleep(KEEP_INTERVAL_S)

    async def _lost(self, kept: Mapping[bytes, Prediction]) -> Mapping[bytes, Prediction]:
        """What of `kept` has to be written again: all of it where TOUCH finds fewer, nothing where it finds all."""
        if not kept or self._breaker.open:
            return {}
        there = await self._ask("touch", _write_deadline(), lambda: self._client.touch(*map(self._name, kept)))
        return {} if there is None or there == len(kept) else kept

    async def _store(self, predictions: Mapping[bytes, Prediction]) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:
            for key, prediction in predictions.items():
                ttl_s = self._ttl_s * (1 - self._jitter * random.random())  # noqa: S311
                pipeline.set(self._name(key), dump(prediction), px=max(1, int(ttl_s * 1000)))
            await pipeline.execute()

    async def _ask(self, what: str, deadline: float, command: Callable[[], Awaitable[T]]) -> T | None:
        """Run a command until the deadline on the loop's clock; None, counted, where it fails."""
        try:
            async with asyncio.timeout_at(deadline):
                answer = await command()
        except OutOfMemoryError:
            # a full Redis still answers reads, so it is no reason to stop asking
            self._metrics.redis_errors.inc(tags={"command": what})
            return None
        except (RedisError, OSError, TimeoutError):
            self._metrics.redis_errors.inc(tags={"command": what})
            self._breaker.failed()
            return None
        self._breaker.succeeded()
        return answer

    async def _ping(self) -> None:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await self._client.ping()

    def _name(self, key: bytes) -> str:
        return self._prefix + key.hex()


def _write_deadline() -> float:
    return asyncio.get_running_loop().time() + WRITE_TIMEOUT_S
