"""Waiting with a deadline, for tests: never a bare sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def until(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Poll until the condition holds; fail, saying what was waited for, at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain until {what}"
        time.sleep(0.02)


async def until_async(condition: Callable[[], object], what: str, timeout_s: float = 15.0) -> None:
    """The same in a running event loop, which goes on meanwhile."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain until {what}"
        await asyncio.sleep(0.005)
