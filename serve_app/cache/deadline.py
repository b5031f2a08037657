"""A deadline that does not count time in which the event loop was blocked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

CHECK_S = 0.001  # before the deadline; a check that runs after the deadline shows that the loop was blocked
GRACE_S = 0.005

T = TypeVar("T")


async def run_until(deadline: float, command: Callable[[], Awaitable[T]]) -> T:
    """Await a command until the deadline on the loop's clock.

    If the loop was blocked across the deadline, an answer that has arrived is still read: the server was not late.

    Raises:
        TimeoutError: the command did not end in time.
    """
    async with asyncio.timeout_at(deadline) as limit:
        check = asyncio.get_running_loop().call_at(deadline - CHECK_S, _excuse, limit)
        try:
            return await command()
        finally:
            check.cancel()


def _excuse(limit: asyncio.Timeout) -> None:
    now = asyncio.get_running_loop().time()
    deadline = limit.when()
    if deadline is not None and now >= deadline:
        limit.reschedule(now + GRACE_S)
