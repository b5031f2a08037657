"""Kill the processes of this container that have a word among their arguments; runs by `python -c`, without a file.

An image need not have pkill. Process 1 of a container cannot be killed from inside by SIGKILL, so it gets SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path


def with_argument(word: str, processes: Path = Path("/proc")) -> list[int]:
    """Ids of the processes that have exactly this argument, oneself excepted."""
    found = []
    for entry in processes.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if word.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return sorted(found)


def main(word: str, action: str) -> None:
    """List the ids (`list`), or kill them too (`kill`)."""
    ids = with_argument(word)
    if action == "kill":
        for number in ids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGTERM if number == 1 else signal.SIGKILL)
    sys.stdout.write(" ".join(map(str, ids)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
