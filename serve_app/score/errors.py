"""The error that the command prints as one line."""

from __future__ import annotations

import errno
import re

_SECRETS = (
    (re.compile(r"(?<=://)(?:[^\s/@]+:[^\s@]*|[^\s/@]*)@"), "***@"),
    (re.compile(r"(?<=[?&])(client_secret|sas_token|sig)=[^\s&]*"), r"\1=***"),
)
"""What of a URL is secret, and what is shown of it. A key may have a slash, although the URL is wrong then."""


def masked(text: str) -> str:
    """The text without the credentials of its URLs."""
    for secret, shown in _SECRETS:
        text = secret.sub(shown, text)
    return text


class ScoreError(Exception):
    """An error that the user can mend.

    Its one line names the cause and the remedy, and contains no row's text and no credentials.
    """

    def __init__(self, line: str) -> None:
        # a path may have bytes that are not UTF-8, and ends of lines
        text = masked(line).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        super().__init__("".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text))


def explain_os_error(error: OSError, place: str) -> ScoreError:
    """The error for an `OSError` at a path or URL."""
    if error.errno == errno.ENOSPC:
        return ScoreError(f"{place}: no space is left; free some, then run the same command again to continue")
    return ScoreError(f"{place}: {error.strerror or str(error).partition(chr(10))[0] or type(error).__name__}")
