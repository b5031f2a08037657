"""Waits with a deadline, so that no test sleeps a fixed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def until(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Poll until the condition holds; at the deadline, fail with a message that says `what`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain until {what}"
        time.sleep(0.02)


async def until_async(condition: Callable[[], object], what: str, timeout_s: float = 15.0) -> None:
    """`until` for a running event loop, which is not blocked."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain until {what}"
        await asyncio.sleep(0.005)
