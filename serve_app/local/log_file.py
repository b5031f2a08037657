"""The log of a run, which no other run writes to."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

_LINE_WIDTH = 300


class NoLog(Exception):
    """The log cannot be written."""


def open_log(wanted: Path, port: int) -> tuple[Path, IO[bytes]]:
    """The log file, empty and for this user alone; if another run writes to it, one with the port in its name.

    Raises:
        NoLog: no log can be written.
    """
    for path in (wanted, wanted.with_name(f"{wanted.stem}-{port}{wanted.suffix}")):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            log = open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(log.fileno(), 0o600)
            log.truncate(0)
        except BlockingIOError:
            log.close()
            continue
        except OSError as error:
            raise NoLog(f"the log {path} cannot be written ({error.strerror}); name another with --log") from None
        return path, log
    raise NoLog(f"other runs write to {wanted} and to the one for port {port}; name another with --log")


def last_lines(log: Path, count: int) -> str:
    """At most the last `count` lines of the file, each cut to a readable width."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    return "\n".join(line[:_LINE_WIDTH] for line in lines)
