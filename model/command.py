"""Runs every `python -m model...` command: one clear line for a user's mistake, a clean end on Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import typer

from model.errors import ModelError


def run(main: Callable[..., None]) -> None:
    """Run `main` as a command line.

    A ModelError, or a file that cannot be read or written, is one line on stderr and exit 1. Ctrl-C ends it with
    exit 130, SIGTERM with 143 and SIGHUP with 129, silently and after a clean-up.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores it on purpose
            signal.signal(number, _exit)
    try:
        app()
    except ModelError as error:
        fail(str(error))
    except OSError as error:
        fail(reason(error))


def reason(error: Exception) -> str:
    """One line for an error of the system: the file, if it is known, and the fault."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error).strip().partition("\n")[0] or type(error).__name__


def fail(line: str) -> NoReturn:
    """Print an error's line, and exit with 1."""
    typer.echo(f"error: {line}", err=True)
    sys.exit(1)


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
