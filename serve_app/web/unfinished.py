"""Limits the request bodies that are being received, by number and bytes over all connections of a replica."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

MAX_BODIES = 256
MAX_BYTES = 32 << 20


class UnfinishedBodies:
    """The bodies that are being received. Past a limit, the oldest are timed out.

    So clients that hold bodies open end one another's requests, while a client that sends its body at once is served.
    Clients are not distinguished by address, since behind a gateway all have the same.
    """

    def __init__(self, max_bodies: int = MAX_BODIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_bodies = max_bodies
        self._max_bytes = max_bytes
        self._sizes: dict[asyncio.Timeout, int] = {}
        self._bytes = 0

    @contextmanager
    def receiving(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Count a body while it is received; `limit` is brought forward if newer bodies need its memory."""
        self._sizes[limit] = 0
        self._make_room()
        try:
            yield
        finally:
            self._bytes -= self._sizes.pop(limit, 0)

    def add(self, limit: asyncio.Timeout, size: int) -> None:
        """Count `size` more bytes of this body."""
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
