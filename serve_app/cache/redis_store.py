"""Values by name in Redis: coalesced MGETs and background writes, both with time limits and a breaker."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from cachetools import TTLCache
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import InvalidResponse, ReadOnlyError, ResponseError

from serve_app.cache.breaker import Breaker
from serve_app.cache.deadline import run_until
from serve_app.cache.outage import reason
from serve_app.cache.read_coalescer import ReadCoalescer
from serve_app.metrics import Metrics
from serve_app.prediction import KEY_BYTES
from serve_app.redis_address import CONNECT_TIMEOUT_S
from serve_app.settings import Settings

PREFIX = "fastapi-cache-project::"
WRITE_TIMEOUT_S = 1.0  # no request waits for a write
CLOSE_TIMEOUT_S = 2.0  # for all that is queued
MAX_PENDING = 10_000
MAX_KEYS = 1000  # in an MGET, which several requests may share
WRITE_KEYS = 250
"""Keys in one round of writes: packing them and reading the replies blocks the event loop for some milliseconds."""
WRITE_INTERVAL_S = 0.1
PROBES = tuple(f"{PREFIX}:{digit * 2 * KEY_BYTES}" for digit in "0f")
"""Keys that no text has, for an MGET: a proxy may not know PING, and a cluster refuses two keys."""
REPEAT_WARNING_S = 600

T = TypeVar("T")

logger = logging.getLogger("ray.serve")


class RedisStore:
    """Values by name in Redis, for all models over the same connections.

    It uses only MGET and SET, over RESP2, so that it works with old servers and proxies.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._read_timeout_s = settings.redis_timeout_ms / 1000
        self._reads = ReadCoalescer(self._read, self._read_timeout_s, MAX_KEYS)
        # bare connections of redis-py, kept open: at most one read and one write run at a time, each with a deadline
        # of its own. Every request that memory does not answer waits for a read, and redis-py's client, pool and timers
        # would double its CPU time
        self._for_reads = settings.redis_connection()
        self._for_writes = settings.redis_connection()
        self._for_probes = settings.redis_connection()
        self._ttl_s = settings.cache_ttl_s
        self._jitter = settings.cache_ttl_jitter
        self._metrics = metrics
        self.breaker = Breaker(settings.redis_max_failures, settings.redis_probe_s, self._probe, self._report)
        """Open while Redis is not used."""
        self._writes: dict[str, bytes] = {}
        self._writer: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False
        self._down = False
        # a Secret made from a file often ends in a newline, which is easily overlooked
        password: Any = self._for_reads.password
        self._hint = "; the password that is set ends in white space" if password[-1:].isspace() else ""
        self._warned: TTLCache[str, None] = TTLCache(16, REPEAT_WARNING_S)

    async def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Values for `names`, from an MGET that concurrent callers share; may contain other names too.

        Empty if Redis fails or is late, or the breaker is open.
        """
        if self.breaker.open or self._closed:
            return {}
        return await self._reads.get(names)

    def write_in_background(self, values: Mapping[str, bytes]) -> None:
        """Write in the background; drop them if MAX_PENDING wait, or while the breaker is open."""
        if self.breaker.open or self._closed or len(self._writes) >= MAX_PENDING:
            self._metrics.dropped_writes.inc(len(values))
            return
        self._writes.update(values)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Write what is queued, as far as CLOSE_TIMEOUT_S allows, then close the connections."""
        self._closed = True
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=CLOSE_TIMEOUT_S)
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self.breaker.close()
        if self._connecting is not None:
            # has a time-out of its own; if it were cancelled, so would be the reads that wait for it
            await asyncio.gather(self._connecting, return_exceptions=True)
        connections = (self._for_reads, self._for_writes)
        await asyncio.gather(*(each.disconnect() for each in connections), return_exceptions=True)

    async def _read(self, names: list[str], deadline: float) -> dict[str, bytes]:
        if self.breaker.open or self._closed:
            return {}
        values = await self._ask("get", deadline, lambda: self._mget_connected(names))
        if values is None:
            return {}
        return {name: value for name, value in zip(names, values, strict=True) if value is not None}

    async def _mget_connected(self, names: Sequence[str]) -> list[bytes | None]:
        await self._connect()
        return await self._mget(self._for_reads, names)

    async def _connect(self) -> None:
        """Connect for reads unless that is done; connecting goes on if the caller stops waiting for it.

        A Redis that is far away, or speaks TLS, takes longer to connect to than a read may wait.
        """
        if self._connecting is None or self._connecting.done():  # until it is done the connection is not ready
            await _close_if_ended(self._for_reads)
            if self._for_reads.is_connected:
                return
            connected = self._for_reads.connect()  # type: ignore[no-untyped-call]
            self._connecting = asyncio.create_task(asyncio.wait_for(connected, CONNECT_TIMEOUT_S))
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._connecting)

    async def _mget(self, connection: AbstractConnection, names: Sequence[str]) -> list[bytes | None]:
        # connects if necessary; after an error or a deadline the connection closes itself, so that no late answer is
        # read for the next command
        await connection.send_command("MGET", *names)
        values: list[bytes | None] = await connection.read_response()
        if not isinstance(values, list) or len(values) != len(names):
            await connection.disconnect(nowait=True)
            raise InvalidResponse
        return values

    async def _write(self) -> None:
        """Write all that is queued, WRITE_KEYS at a time; writes of one WRITE_INTERVAL_S go together."""
        while self._writes:
            names = list(islice(self._writes, WRITE_KEYS))
            written = await self._store({name: self._writes.pop(name) for name in names})
            if lost := len(names) - written:
                self._metrics.dropped_writes.inc(lost)
            if len(self._writes) < WRITE_KEYS:
                await asyncio.sleep(WRITE_INTERVAL_S)

    async def _store(self, values: Mapping[str, bytes]) -> int:
        """Write the values; the number that Redis has accepted."""
        written = 0
        refusals: list[ResponseError] = []

        async def store() -> None:
            nonlocal written
            commands = []
            for name, value in values.items():
                ttl_s = self._ttl_s * (1 - self._jitter * random.random())  # noqa: S311
                commands.append(("SET", name, value, "PX", max(1, int(ttl_s * 1000))))
            await _close_if_ended(self._for_writes)
            await self._for_writes.send_packed_command(self._for_writes.pack_commands(commands))
            for _ in commands:
                try:
                    await self._for_writes.read_response()
                    written += 1
                except ResponseError as error:
                    refusals.append(error)

        if not self.breaker.open:
            await self._ask("put", asyncio.get_running_loop().time() + WRITE_TIMEOUT_S, store)
        if refusals:
            # a Redis that is full, or a replica, still answers reads, so the breaker stays closed
            self._metrics.redis_errors.inc(tags={"command": "put"})
            self._warn(f"Redis accepts no writes, and is still read: {reason(refusals[-1])}")
        if any(isinstance(refusal, ReadOnlyError) for refusal in refusals):
            # after a failover that kept the connection: the address may lead to the new master by now
            await self._for_writes.disconnect(nowait=True)
        return written

    async def _ask(self, kind: str, deadline: float, command: Callable[[], Awaitable[T]]) -> T | None:
        """Run a command until the deadline on the loop's clock; if it fails in any way, count that and return None."""
        try:
            answer = await run_until(deadline, command)
        except Exception as error:  # noqa: BLE001  (no failure of Redis may fail a request)
            self._metrics.redis_errors.inc(tags={"command": kind})
            if not self._closed:
                self.breaker.failed(kind, error)
            return None
        self.breaker.succeeded(kind)
        return answer

    async def _probe(self) -> None:
        # on its own connection, which shows whether a new one can be opened
        probe = partial(self._mget, self._for_probes, PROBES)
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await probe()
                await self._connect()
            # once connected it must be as fast as for a read: otherwise reads would fail soon, and delay their requests
            await run_until(asyncio.get_running_loop().time() + self._read_timeout_s, probe)
        finally:
            await self._for_probes.disconnect(nowait=True)

    def _report(self, failure: Exception | None) -> None:
        """Report in the log and in a metric that Redis is not used from now on, or is used again."""
        self._metrics.redis_up.value = 0 if failure else 1
        if failure is not None:
            logger.warning("Redis is not used, replicas share nothing: %s%s", reason(failure), self._hint)
        elif self._down:
            logger.warning("Redis is used again")
        self._down = failure is not None

    def _warn(self, fault: str) -> None:
        """Log the fault, unless it was logged within REPEAT_WARNING_S."""
        if fault not in self._warned:
            self._warned[fault] = None
            logger.warning(fault)


async def _close_if_ended(connection: AbstractConnection) -> None:
    """Close our end of a connection that Redis, or what is between, has closed while it was idle."""
    reader = connection._reader  # noqa: SLF001  (its is_connected is true also then)
    if reader is not None and (reader.at_eof() or reader.exception() is not None):
        await connection.disconnect(nowait=True)
