"""A row of an input: what is kept of it, its text, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serve_app.score.formats import Kind


@dataclass(slots=True)
class Row:
    """One row as it was read.

    `values` is what its format makes of it: the fields of CSV, the bytes of a JSON object, a table of one row and its
    place for Parquet; None where the row could not be taken apart. `text` is None exactly where `error` says why.
    `raw` is the row as it stood, of those that do not fit the columns.
    """

    values: Any
    text: str | None
    size: int
    """Bytes that it takes in the input, about."""
    error: str = ""
    raw: str = ""


@dataclass(slots=True)
class Part:
    """Rows that are scored and written together."""

    number: int
    first: int
    """Number of the first row in the whole input, from 0 on."""
    first_in_file: int
    """The same in its file."""
    kind: Kind
    columns: tuple[str, ...]
    rows: list[Row]


def printable(data: bytes) -> str:
    """Bytes as text: those that are no UTF-8 as a backslash, x and two digits."""
    return data.decode("utf-8", "backslashreplace")


def text_fault(text: object, max_chars: int) -> str:
    """Why the service would not take this for a text; empty where it would."""
    if text is None:
        return "the text is null"
    if not isinstance(text, str):
        return "the text is not text"
    if len(text) > max_chars:
        return f"the text is longer than {max_chars} characters"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "the text is not UTF-8"
    return ""
