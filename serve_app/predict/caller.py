"""The client's deadline and other limits, and whether it is still connected."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import Receive

from serve_app.errors import ClientGone, TooLate

_NAMES = (b"x-envoy-expected-rq-timeout-ms", b"x-request-timeout-ms")
_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Limits:
    """When a request's answer must be there, in seconds of `time.monotonic`, and the longest queue it may find."""

    deadline: float
    max_wait_s: float


class Caller:
    """The caller of one request. Nothing is read from it until the request has to wait.

    `receive` is ASGI's, after the body. Serve itself could watch for a disconnect, but would do so for each cache hit
    too.
    """

    def __init__(
        self, headers: Sequence[tuple[bytes, bytes]] = (), receive: Receive | None = None, cache_owner: bytes = b""
    ) -> None:
        self._headers = headers
        self._receive = receive
        self.cache_owner = cache_owner
        """Whose cache is used: callers with different owners learn nothing of each other's texts."""

    def deadline(self) -> float:
        """The time of `time.monotonic` until which the caller waits; infinite if no header says so.

        Of two headers the smaller value counts. A value that is not a positive whole number is ignored, since a
        proxy's header must not fail a request.
        """
        limits_ms = [
            int(value)
            for name, value in self._headers
            if name in _NAMES and len(value) <= _MAX_DIGITS and value.isdigit()
        ]
        milliseconds = min((value for value in limits_ms if value), default=math.inf)
        return time.monotonic() + milliseconds / 1000

    @asynccontextmanager
    async def limit_wait(self, deadline: float) -> AsyncIterator[None]:
        """Run the block until it ends, the caller disconnects or the deadline passes.

        Raises:
            ClientGone: the caller has closed the connection.
            TooLate: the deadline has passed.
        """
        watch: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(None if deadline == math.inf else deadline - time.monotonic()) as limit:
                if self._receive is not None:
                    watch = asyncio.create_task(self._end_when_gone(self._receive, limit))
                yield
        except TimeoutError:
            if watch is not None and watch.done():
                raise ClientGone from None
            raise TooLate(deadline=deadline) from None
        finally:
            if watch is not None:
                watch.cancel()

    async def _end_when_gone(self, receive: Receive, limit: asyncio.Timeout) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        limit.reschedule(asyncio.get_running_loop().time())
