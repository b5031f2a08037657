"""The one error that the command shows as a line."""

from __future__ import annotations

import errno


class ScoreError(Exception):
    """Something the user can act on: one line that names the thing and the way out, never any text of a row."""


def explain_os_error(error: OSError, place: str) -> ScoreError:
    """The line for an error of the system at this place."""
    if error.errno == errno.ENOSPC:
        return ScoreError(f"{place}: no space is left; free some, and the same command goes on")
    return ScoreError(f"{place}: {error.strerror or str(error).partition(chr(10))[0] or type(error).__name__}")
