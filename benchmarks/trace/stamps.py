"""Notes when a request passes the service's functions, in the processes that run them.

All clocks are CLOCK_MONOTONIC, which processes of one machine share. One client sends one request at a time, so that
what lies between its sending and its answer belongs to that request.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = "TRACE_FOLDER"
"""The variable that names where each process writes its stamps."""

_stamps: list[tuple[str, float]] = []


def stamp(name: str) -> None:
    """Note the name with the time, in seconds."""
    _stamps.append((name, time.monotonic()))


def write() -> None:
    """Add what was noted to this process' file, a line for each call."""
    noted = _stamps[:]
    _stamps.clear()
    with (Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(noted) + "\n")


def wrap(owner: type, method: str, begins: str | None, ends: str | None = None, *, last: bool = False) -> None:
    """Have the class stamp the method's begin and end; after the `last` of a request the stamps are written."""
    original: Callable[..., Any] = getattr(owner, method)

    def before() -> None:
        if begins is not None:
            stamp(begins)

    def after() -> None:
        if ends is not None:
            stamp(ends)
        if last:
            write()

    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def traced(*args: Any, **kwargs: Any) -> Any:
            before()
            try:
                return await original(*args, **kwargs)
            finally:
                after()

    else:

        @functools.wraps(original)
        def traced(*args: Any, **kwargs: Any) -> Any:
            before()
            try:
                return original(*args, **kwargs)
            finally:
                after()

    setattr(owner, method, traced)
