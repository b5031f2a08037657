"""Coalesces reads that arrive during another read into the next one: fewer, larger round trips as load grows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice
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
"""A read may wait in the queue for this many time-outs while the reads ahead of it are answered."""


class ReadCoalescer(Generic[K, V]):
    """Calls `fetch(keys, deadline)` for all callers, one call at a time.

    The first read is sent at once; reads that arrive before its answer are sent together as the next. A read of more
    than `max_keys` keys takes several calls. `fetch` gets a deadline on the loop's clock, one time-out after the call,
    and must keep it: time in the queue does not count against the store. If the store fails it returns an empty
    mapping, and the next reads are still sent. A read whose caller has gone, or that has waited too long in the queue,
    is not sent.
    """

    def __init__(
        self, fetch: Callable[[list[K], float], Awaitable[Mapping[K, V]]], timeout_s: float, max_keys: int
    ) -> None:
        self._fetch = fetch
        self._timeout_s = timeout_s
        self._max_keys = max_keys
        self._reads: deque[_Read[K, V]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def get(self, keys: Collection[K]) -> Mapping[K, V]:
        """Values for `keys`, by one call for each `max_keys` of them; may contain other keys too."""
        if len(keys) > self._max_keys:
            each, found = iter(keys), dict[K, V]()
            while part := list(islice(each, self._max_keys)):  # one after another, so that others' reads go between
                found.update(await self.get(part))
            return found
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
            answer: Mapping[K, V] | Exception = {}
            if reads[0].waits(now):
                wanted = dict.fromkeys(key for read in reads for key in read.keys)
                try:
                    answer = await self._fetch(list(wanted), clock() + self._timeout_s)
                except Exception as error:  # noqa: BLE001  (passed to the callers, who would otherwise wait for ever)
                    answer = error
            for read in reads:
                if read.answer.done():  # its caller has gone
                    continue
                if isinstance(answer, Exception):
                    read.answer.set_exception(answer)
                else:
                    read.answer.set_result(answer)
        self._task = None

    def _next(self, now: float) -> list[_Read[K, V]]:
        """Pop the oldest reads that fit into `max_keys` keys. If the oldest is no longer wanted, pop it alone."""
        reads = [self._reads.popleft()]
        size = len(reads[0].keys)
        while (
            self._reads
            and reads[0].waits(now)
            and self._reads[0].waits(now)
            and size + len(self._reads[0].keys) <= self._max_keys
        ):
            reads.append(self._reads.popleft())
            size += len(reads[-1].keys)
        return reads
