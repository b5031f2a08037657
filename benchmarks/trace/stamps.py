"""Records the times at which a request passes functions of the service, in their processes.

All clocks are CLOCK_MONOTONIC, which processes of one machine share. One client sends one request at a time, so that
all stamps between a request and its answer belong to it.
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
"""The variable that names the folder of the processes' stamps."""

_stamps: list[tuple[str, float]] = []


def stamp(name: str) -> None:
    """Record the name with the time, in seconds."""
    _stamps.append((name, time.monotonic()))


def write() -> None:
    """Append the stamps to this process' file, one line per call."""
    noted = _stamps[:]
    _stamps.clear()
    with (Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(noted) + "\n")


def wrap(owner: type, method: str, begins: str | None, ends: str | None = None, *, last: bool = False) -> None:
    """Stamp the begin and end of the class's method; after the `last` of a request, write the stamps."""
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
