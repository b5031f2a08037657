"""Converts values between formats."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from serve_app.score import read_json
from serve_app.score.arrow import arrow
from serve_app.score.rows import Part, Row

_NARROW: dict[str, Callable[[float], object]] = {"halffloat": np.float16, "float": np.float32}
"""Arrow's names of the floats that are narrower than Python's, and numpy's types for them."""


def records(part: Part) -> Iterator[tuple[Sequence[Any] | None, str]]:
    """Each row's values by column (None if malformed), and the original row if it has further values."""
    if part.kind == "jsonl":
        for row in part.rows:
            yield _of_object(row, part.columns)
    elif part.kind == "parquet":
        for row in part.rows:
            yield [of_scalar(row.values.batch.column(at)[row.values.row]) for at in range(len(part.columns))], ""
    else:
        for row in part.rows:
            yield row.values, ""


def _of_object(row: Row, columns: Sequence[str]) -> tuple[Sequence[Any] | None, str]:
    if row.values is None:
        return None, ""
    value: Mapping[str, Any] = read_json.parse_exactly(row.values)
    rest = "" if value.keys() <= set(columns) else row.values.decode("utf-8", "backslashreplace")
    return [value.get(name) for name in columns], rest


def of_scalar(scalar: Any) -> Any:
    """The Python value of an Arrow scalar.

    It is text if Python has no such value, as for a date after the year 9999, or JSON has none, as for NaN.
    """
    pa = arrow()
    if not _changes_in_python(scalar):
        try:
            return _finite(scalar.as_py())
        except (ValueError, OverflowError, LookupError):
            pass
    elif isinstance(scalar, pa.TimestampScalar | pa.DurationScalar):
        return _of_nanoseconds(scalar)
    elif isinstance(scalar, pa.FloatScalar | pa.HalfFloatScalar):
        return _shortest(scalar.as_py(), _NARROW[str(scalar.type)])
    return _taken_apart(scalar)


def _taken_apart(scalar: Any) -> Any:
    """The value made of those that the scalar holds; text if it holds none."""
    pa = arrow()
    if isinstance(scalar, pa.MapScalar):
        return [(of_scalar(each["key"]), of_scalar(each["value"])) for each in scalar.values]
    if isinstance(scalar, pa.StructScalar):
        names = [field.name for field in scalar.type]
        return {
            name if names.index(name) == at else f"{name}_{at}": of_scalar(scalar[at]) for at, name in enumerate(names)
        }
    if isinstance(scalar, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar):
        return _elements(scalar.values)
    if isinstance(scalar, pa.DictionaryScalar | pa.ExtensionScalar):
        return of_scalar(scalar.value)
    if hasattr(scalar, "as_buffer"):
        return scalar.as_buffer().to_pybytes().decode("utf-8", "backslashreplace")
    return _printed(scalar)


def _elements(array: Any) -> list[Any]:
    narrow = _NARROW.get(str(array.type))
    if narrow is None:
        return [of_scalar(each) for each in array]
    return [_shortest(value, narrow) for value in array.to_pylist()]  # an embedding has hundreds of them


def _changes_in_python(scalar: Any) -> bool:
    """Whether it is or may contain nanoseconds or floats of fewer than 64 bits.

    Python would drop the nanoseconds of a time of day without an error. Other nanoseconds would depend on whether
    pandas is installed. The floats would gain digits.
    """
    pa = arrow()
    if not scalar.is_valid:
        return False
    if isinstance(scalar, pa.Time64Scalar):
        return bool(scalar.type.unit == "ns" and scalar.value % 1000)
    kind = scalar.type
    if isinstance(scalar, pa.TimestampScalar | pa.DurationScalar):
        return bool(kind.unit == "ns")
    if isinstance(scalar, pa.FloatScalar | pa.HalfFloatScalar):
        return True
    holds = pa.types.is_nested(kind) or isinstance(scalar, pa.DictionaryScalar | pa.ExtensionScalar)
    return holds and ("[ns" in str(kind) or "float" in str(kind))


def _shortest(value: float | None, narrow: Callable[[float], object]) -> Any:
    """The number with the fewest digits that the narrow type takes for the value. Whole numbers keep all digits."""
    if value is None or value.is_integer():
        return value
    return _finite(float(str(narrow(value))))


def _of_nanoseconds(scalar: Any) -> Any:
    """The value of a time or duration in nanoseconds; text if it has parts of a microsecond, which Python lacks."""
    pa = arrow()
    whole, rest = divmod(scalar.value, 1000)
    is_time = pa.types.is_timestamp(scalar.type)
    if not rest:
        return of_scalar(pa.scalar(whole, pa.timestamp("us", scalar.type.tz) if is_time else pa.duration("us")))
    if is_time:
        return _printed(scalar)
    text = str(datetime.timedelta(microseconds=whole))
    return f"{text if '.' in text else text + '.000000'}{rest:03d}"


def _printed(scalar: Any) -> str:
    return str(arrow().array([scalar]).to_string(skip_new_lines=True, indent=0)).strip("[]")


def _finite(value: Any) -> Any:
    """The value with text for numbers that JSON lacks: inf, -inf and nan."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return value


def to_json(value: Any) -> bytes:
    """JSON of any value; a type that JSON lacks becomes text, and what is nested too deeply to be written null."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except orjson.JSONEncodeError:
        pass
    try:  # slower, but it takes large numbers, lone surrogates and deeper nesting
        text = json.dumps(value, default=_plain)
        return json.dumps(json.loads(text, parse_constant=lambda _: None), separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        return b"null"


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
    if isinstance(value, float):  # with its digits, which orjson does not take
        return float(value)
    if isinstance(value, datetime.date | datetime.time):  # orjson would round the seconds of a time zone
        return value.isoformat()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _valid(text: str) -> str:
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate from an escape in JSON
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace")
