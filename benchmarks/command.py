"""Runs every `python -m benchmarks...` command: one clear line for a mistake, a clean end on signals."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable

from model import command

_WORDS = 3
"""Words of a child's command line that an error shows: its program and module, without the many arguments."""


def run(main: Callable[..., None], *expected: type[Exception]) -> None:
    """Run `main` as a command line.

    A ModelError, RuntimeError, OSError or error of `expected`, and a child process that failed, are one line on stderr
    and exit 1. Signals end it as they end `python -m model...`, so that child processes are ended too.
    """
    faults: tuple[type[Exception], ...] = (RuntimeError, *expected)
    try:
        command.run(main)
    except subprocess.CalledProcessError as error:
        command.fail(_failed(error))
    except faults as error:
        command.fail(command.reason(error))


def _failed(error: subprocess.CalledProcessError) -> str:
    """The child, its status, and the last line of its stderr, if that was captured."""
    words = [error.cmd] if isinstance(error.cmd, str) else [str(word) for word in error.cmd]
    stderr = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr or ""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f"{shlex.join(words[:_WORDS])} ended with {error.returncode}" + (f": {lines[-1]}" if lines else "")
