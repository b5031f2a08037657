"""Reads rows of JSON lines. A line that is not an object becomes a row with an error."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from serve_app.score.lines import MAX_LINE_BYTES, Line
from serve_app.score.rows import Row, printable, text_fault

_INEXACT = re.compile(rb"\d{19}|:\s*-?\d+[.eE]|:\s*-0")
"""Begins like a number that may lose digits, or its sign."""
_ARRAY = re.compile(rb"\[\s*(\{|$)")
"""Begins like an array of objects, unlike a line of a log such as `[INFO] started`."""


def read_rows(lines: Iterator[Line], column: str, max_chars: int, taken: frozenset[str]) -> Iterator[Row]:
    """A row for each line that is not blank. `taken` has the names of the columns that will be added."""
    for data, cut in lines:
        line = data.strip()
        if not line:
            continue
        if cut:
            yield Row(
                None, None, len(data), f"the line is longer than {MAX_LINE_BYTES >> 20} MiB; cut", printable(line)
            )
            continue
        value = parse(line)
        if not isinstance(value, dict):
            fault = "the line is malformed JSON" if value is Malformed else "the line is not a JSON object"
            yield Row(None, None, len(data), fault, printable(line))
        elif not taken.isdisjoint(value):
            yield Row(None, None, len(data), "the object has a name that the scores need", printable(line))
        elif column not in value:
            yield Row(line, None, len(data), "the object has no text")
        else:
            text = value[column]
            fault = text_fault(text, max_chars)
            yield Row(line, None if fault else text, len(data), fault)


class Malformed:
    """`parse` returns this class for a line that is not JSON."""


def parse(line: bytes) -> Any:
    """The value of a line, or `Malformed`. NaN and lone surrogates, which many programs write, are accepted."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        return Malformed


class Number(float):
    """A number with a fraction or exponent, or -0, whose text is as it was written."""

    def __new__(cls, digits: str) -> Number:
        """The number with these digits."""
        number = super().__new__(cls, digits)
        number._digits = digits
        return number

    _digits: str

    def __str__(self) -> str:
        return self._digits


def parse_exactly(line: bytes) -> Any:
    """Like `parse`, but numbers keep their digits, also integers beyond 64 bits; it is slower if there are such."""
    if _INEXACT.search(line):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(line.decode(), parse_float=Number, parse_int=_integer)
    return parse(line)


def _integer(digits: str) -> int | Number:
    return Number(digits) if digits == "-0" else int(digits)


def looks_like_array(first: bytes, second: bytes) -> bool:
    """Whether a file with these lines is one JSON array of objects instead of JSON lines.

    They are the first ones that are not blank, without white space around them; `second` is empty if there is one line.
    """
    if not _ARRAY.match(first):
        return False
    return first == b"[" or parse(first) is Malformed or not isinstance(parse(second), dict)
