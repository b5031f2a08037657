"""How every `python -m model...` command runs: one clear line for a user's mistake, a clean end on Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from model.errors import ModelError


def run(main: Callable[..., None]) -> None:
    """Run `main` as a command line; a ModelError is one line on stderr and exit 1, Ctrl-C is exit 130."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except ModelError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
