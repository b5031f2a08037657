"""Checks what another user of the machine can reach: run by `setpriv` as one, with only the standard library.

Standard input has, in JSON, `secrets`, `folder`, `log`, `keys`, `sockets` and `processes` of a running
service, and `roots`, folders to search, without those `passed_over`. Standard output gets, also in JSON, whatever was
reached but must not be.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_BYTES = 64 << 20


def contents(processes: list[int], roots: list[str], passed_over: list[str]) -> Iterator[tuple[str, bytes]]:
    """All readable contents of the service's processes, and of files below the folders `roots`."""
    names = [f"/proc/{pid}/{name}" for pid in processes for name in ("environ", "cmdline", "maps", "mem", "auxv")]
    for pid in processes:
        with contextlib.suppress(OSError):
            names += map(str, Path(f"/proc/{pid}/fd").iterdir())
    for root in roots:
        for folder, below, files in os.walk(root):
            below[:] = [name for name in below if f"{folder}/{name}" not in passed_over]
            names += [f"{folder}/{name}" for name in files]
    for name in names:
        with contextlib.suppress(OSError):
            if name.startswith("/proc/") or Path(name).is_file():
                descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
                with os.fdopen(descriptor, "rb") as file:
                    yield name, file.read(MAX_BYTES)


def faults(given: dict[str, Any]) -> Iterator[str]:
    """The accesses that should have been impossible."""
    for path in (given["folder"], given["log"], given["keys"]):
        for mode, word in ((os.R_OK, "read"), (os.W_OK, "write")):
            if os.access(path, mode):
                yield f"may {word} {path}"
    with contextlib.suppress(OSError):
        yield f"sees {list(Path(given['folder']).iterdir())}"
    with contextlib.suppress(OSError):
        Path(given["folder"]).rename(f"{given['folder']}-mine")
        yield f"has moved {given['folder']}"
    with contextlib.suppress(OSError):
        Path(given["folder"], "h", "haproxy.cfg").write_text("mine")
        yield "has changed HAProxy's configuration"
    for path in given["sockets"]:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
            one.connect(path if not path.startswith("@") else "\0" + path[1:])
            yield f"is connected to {path}"
    for pid in given["processes"]:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGSTOP)
            yield f"has stopped process {pid}"
        with contextlib.suppress(OSError):
            os.open(f"/proc/{pid}/mem", os.O_RDWR)
            yield f"may write the memory of {pid}"
    for name, content in contents(given["processes"], given["roots"], given["passed_over"]):
        yield from (
            f"reads the {what} in {name}" for what, value in given["secrets"].items() if value.encode() in content
        )


if __name__ == "__main__":
    json.dump(list(faults(json.load(sys.stdin))), sys.stdout)
