"""Bounds the request bodies that are being received, in number and bytes over all connections of a replica."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

MAX_BODIES = 256
MAX_BYTES = 32 << 20


class UnfinishedBodies:
    """The bodies that are being received. Past a bound, those that began first are ended.

    Clients that hold bodies open so end one another, and one that sends at once finds room. Clients are not told apart
    by address: behind a gateway all have the same.
    """

    def __init__(self, max_bodies: int = MAX_BODIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_bodies = max_bodies
        self._max_bytes = max_bytes
        self._sizes: dict[asyncio.Timeout, int] = {}
        self._bytes = 0

    @contextmanager
    def receiving(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Count a body that is received within `limit`, which is brought forward where others need the room."""
        self._sizes[limit] = 0
        self._make_room()
        try:
            yield
        finally:
            self._bytes -= self._sizes.pop(limit, 0)

    def add(self, limit: asyncio.Timeout, size: int) -> None:
        """So many more bytes of this body have come."""
        if limit in self._sizes:
            self._sizes[limit] += size
            self._bytes += size
            self._make_room()

    def _make_room(self) -> None:
        now = asyncio.get_running_loop().time()
        while len(self._sizes) > self._max_bodies or (self._bytes > self._max_bytes and len(self._sizes) > 1):
            oldest = next(iter(self._sizes))
            self._bytes -= self._sizes.pop(oldest)
            if not oldest.expired():
                oldest.reschedule(now)
