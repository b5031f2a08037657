"""The error that the command prints as one line."""

from __future__ import annotations

import errno


class ScoreError(Exception):
    """An error that the user can mend. Its one line names the cause and the remedy, and contains no row's text."""

    def __init__(self, line: str) -> None:
        # a path may have bytes that are not UTF-8, and ends of lines
        text = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        super().__init__("".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text))


def explain_os_error(error: OSError, place: str) -> ScoreError:
    """The error for an `OSError` at a path or URL."""
    if error.errno == errno.ENOSPC:
        return ScoreError(f"{place}: no space is left; free some, then run the same command again to continue")
    return ScoreError(f"{place}: {error.strerror or str(error).partition(chr(10))[0] or type(error).__name__}")
