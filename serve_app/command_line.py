"""Arguments and signals of the commands that run in the foreground, `serve_app.local` and `serve_app.score`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

import typer
from typer.exceptions import TyperException

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status."""
        return 128 + self.number


def raise_stopped(number: int, _: FrameType | None) -> None:
    """Handle a signal.

    Raises:
        Stopped: always.
    """
    raise Stopped(number)


def handle_signals(handler: Callable[[int, FrameType | None], None] = raise_stopped) -> None:
    """Have `handler` called on SIGNALS, except on those that are ignored: nohup and `&` ignore signals on purpose."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def ignore_signals() -> None:
    """Ignore SIGNALS while the process ends, so that a second Ctrl-C does not leave half of it running."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def run(main: Callable[..., None]) -> None:
    """Run `main` with the process' arguments, and exit; a wrong argument is reported in one line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:
        line = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
        typer.echo(f"error: {line}", err=True)
        sys.exit(2)
