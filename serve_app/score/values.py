"""Converts values between formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from serve_app.score import read_json
from serve_app.score.rows import Part, Row


def records(part: Part) -> Iterator[tuple[Sequence[Any] | None, str]]:
    """Each row's values by column (None if malformed), and the original row if it has further values."""
    if part.kind == "jsonl":
        for row in part.rows:
            yield _of_object(row, part.columns)
    elif part.kind == "parquet":
        for row in part.rows:
            yield [row.values.batch.column(at)[row.values.row].as_py() for at in range(len(part.columns))], ""
    else:
        for row in part.rows:
            yield row.values, ""


def _of_object(row: Row, columns: Sequence[str]) -> tuple[Sequence[Any] | None, str]:
    if row.values is None:
        return None, ""
    value: Mapping[str, Any] = read_json.parse(row.values)
    rest = "" if value.keys() <= set(columns) else row.values.decode("utf-8", "backslashreplace")
    return [value.get(name) for name in columns], rest


def to_json(value: Any) -> bytes:
    """JSON of any value; a type that JSON lacks becomes text."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        return orjson.dumps(to_text(value))


def to_text(value: Any) -> str:
    """Text of any value for a CSV field; each byte that is not UTF-8 becomes a backslash, x and two digits."""
    if isinstance(value, str):
        return _valid(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return to_json(value).decode()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _valid(text: str) -> str:
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate from an escape in JSON
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace")
