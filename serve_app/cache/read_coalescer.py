"""Reads that come while one is under way, gathered into the next: fewer, larger round trips as load grows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class _Read(Generic[K, V]):
    keys: Collection[K]
    deadline: float
    answer: asyncio.Future[Mapping[K, V]]

    def waits(self, now: float) -> bool:
        return not self.answer.done() and self.deadline > now


QUEUE_TIMEOUTS = 20
"""How many times the time-out a read may wait for its turn, behind others that were answered."""


class ReadCoalescer(Generic[K, V]):
    """Asks `fetch(keys, deadline)` for all who want something, one call at a time.

    The first read goes out at once; what comes before it is back goes out together as the next. `fetch` gets a
    deadline on the loop's clock, the time-out after it was called, and must keep it: time in the queue here is no
    fault of the store. It returns None if the store failed; those who wait behind it then get nothing, at once. A read
    whose caller has gone, or that has waited too long for its turn, is not sent.
    """

    def __init__(
        self, fetch: Callable[[list[K], float], Awaitable[Mapping[K, V] | None]], timeout_s: float, most_keys: int
    ) -> None:
        self._fetch = fetch
        self._timeout_s = timeout_s
        self._most_keys = most_keys
        self._reads: deque[_Read[K, V]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def get(self, keys: Collection[K]) -> Mapping[K, V]:
        """What `fetch` knows of `keys`, and perhaps of others."""
        loop = asyncio.get_running_loop()
        read: _Read[K, V] = _Read(keys, loop.time() + QUEUE_TIMEOUTS * self._timeout_s, loop.create_future())
        self._reads.append(read)
        if self._task is None:
            self._task = loop.create_task(self._fetch_all())
        return await read.answer

    async def _fetch_all(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._reads:
            now = clock()
            reads = self._next(now)
            answer: Mapping[K, V] | Exception | None = {}
            if reads[0].waits(now):
                wanted = dict.fromkeys(key for read in reads for key in read.keys)
                try:
                    answer = await self._fetch(list(wanted), clock() + self._timeout_s)
                except Exception as error:  # noqa: BLE001  (for those who wait, or they would wait for good)
                    answer = error
                if answer is None:
                    reads += self._reads
                    self._reads.clear()
                    answer = {}
            for read in reads:
                if read.answer.done():  # its caller has gone
                    continue
                if isinstance(answer, Exception):
                    read.answer.set_exception(answer)
                else:
                    read.answer.set_result(answer or {})
        self._task = None

    def _next(self, now: float) -> list[_Read[K, V]]:
        """The reads that have waited longest, up to `most_keys` keys together; one alone if it is not to be sent."""
        reads = [self._reads.popleft()]
        size = len(reads[0].keys)
        while (
            self._reads
            and reads[0].waits(now)
            and self._reads[0].waits(now)
            and size + len(self._reads[0].keys) <= self._most_keys
        ):
            reads.append(self._reads.popleft())
            size += len(reads[-1].keys)
        return reads
