"""Rows of an input and the parts they are grouped in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serve_app.score.formats import Kind


@dataclass(slots=True)
class Row:
    """One row of an input.

    `values` depends on the format: the fields of CSV, the bytes of a JSON object, or a `Cell` for Parquet; None if the
    row could not be parsed. Either `text` is None or `error` is empty. `raw` is the original row if it does not fit
    the columns.
    """

    values: Any
    text: str | None
    size: int
    """Approximate bytes in the input."""
    error: str = ""
    raw: str = ""


@dataclass(slots=True)
class Part:
    """Rows that are scored and written together."""

    number: int
    first: int
    """Index of the first row in the input, from 0."""
    first_in_file: int
    """Index of the first row in its file, from 0."""
    kind: Kind
    columns: tuple[str, ...]
    rows: list[Row]


def printable(data: bytes) -> str:
    """Bytes as text; each byte that is not UTF-8 becomes a backslash, x and two digits."""
    return data.decode("utf-8", "backslashreplace")


def text_fault(text: object, max_chars: int) -> str:
    """Why the service would refuse this as a text; empty if it would accept it."""
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
