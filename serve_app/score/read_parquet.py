"""Reads rows of Parquet, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from serve_app.score.arrow import arrow
from serve_app.score.columns import listed
from serve_app.score.errors import ScoreError
from serve_app.score.places import InputFile
from serve_app.score.rows import Row, text_fault
from serve_app.score.streams import Counter, reading

BATCH_ROWS, BATCH_BYTES = 32, 8 << 20
"""A batch has at most so many rows, and about so many bytes or one row. Each row in progress keeps its batch.

The rows are few because the footer counts a value once that is in many rows, and a batch has it for each row.
"""
_BUFFER = 1 << 20


class Cell(NamedTuple):
    """The place of a row: a record batch, and the row's index in it."""

    batch: Any
    row: int


def read_schema(file: InputFile) -> Any:
    """The Arrow schema of a file's rows.

    Each row group may have a dictionary of its own. So the index of a dictionary has 32 bits, since all values together
    may be too many for a narrower one. Dictionaries inside lists and structs become plain, since pyarrow cannot join
    them.

    Raises:
        ScoreError: it is not Parquet, or cannot be read.
    """
    with reading(file), file.open() as opened:
        return _open(file, opened)[1]


def check_text(schema: Any, column: str, place: str) -> None:
    """Check that a column has a text type.

    Raises:
        ScoreError: it has another type.
    """
    types = arrow().types
    kind = schema.field(column).type
    value = kind.value_type if types.is_dictionary(kind) else kind
    if not (
        types.is_string(value) or types.is_large_string(value) or types.is_string_view(value) or types.is_null(value)
    ):
        raise ScoreError(f"{place}: the column {column} is {kind}, not text; cast it, or choose another with --column")


def read_rows(file: InputFile, column: str, max_chars: int, counter: Counter) -> Iterator[Row]:
    """The rows of a file, a batch of them in memory at a time.

    Raises:
        ScoreError: it cannot be read.
    """
    pyarrow = arrow()
    with reading(file), file.open() as opened:
        try:
            parquet, schema = _open(file, opened)
            rows = 0
            for batch in _batches(parquet, schema):
                size = max(1, sum(decoded(column).nbytes for column in batch.columns) // max(1, batch.num_rows))
                rows += batch.num_rows
                counter.count = file.size * rows // max(1, parquet.metadata.num_rows)
                for row, text in enumerate(_texts(batch.column(batch.schema.get_field_index(column)))):
                    fault = text_fault(text, max_chars)
                    yield Row(Cell(batch, row), None if fault else text, max(size, len(text or "")), fault)
        except pyarrow.ArrowException as error:
            raise ScoreError(f"{file.name}: {_line(error)}") from None


def common_schema(schema: Any, first: str, other: Any, second: str) -> Any:
    """The schema of two files with these names; a column is nullable if it is in one of them.

    Raises:
        ScoreError: their columns differ in name or type.
    """
    if schema.names != other.names:
        raise ScoreError(f"{second} and {first} have different columns; score them one by one")
    for mine, its in zip(schema, other, strict=True):
        if mine.type != its.type:
            raise ScoreError(
                f"{second}: the column {listed([mine.name])} is {its.type}, and in {first} {mine.type}; cast one of"
                " them, or score the files one by one"
            )
    fields = [
        mine if mine.nullable else mine.with_nullable(its.nullable) for mine, its in zip(schema, other, strict=True)
    ]
    return arrow().schema(fields, metadata=schema.metadata)


def has_columns(file: InputFile, schema: Any) -> bool:
    """Whether the file has the names and types of the schema.

    Raises:
        ScoreError: it is not Parquet, or cannot be read.
    """
    return [(each.name, each.type) for each in read_schema(file)] == [(each.name, each.type) for each in schema]


def _batches(parquet: Any, schema: Any) -> Iterator[Any]:
    """The record batches of a file. The bounds of parts follow theirs, so they must depend only on the file."""
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        rows = min(BATCH_ROWS, BATCH_BYTES * group.num_rows // max(1, group.total_byte_size))
        for batch in parquet.iter_batches(max(1, rows), [number]):
            yield batch.cast(schema)


def _open(file: InputFile, opened: Any) -> tuple[Any, Any]:
    """The opened file, and the schema of `read_schema`."""
    pyarrow = arrow()
    try:
        parquet = arrow("pyarrow.parquet").ParquetFile(
            opened,
            pre_buffer=False,
            buffer_size=_BUFFER,
            coerce_int96_timestamp_unit="us",  # nanoseconds would turn a year after 2262 into another
        )
        schema = parquet.schema_arrow
        fields = [field.with_type(_joinable(field.type)) for field in schema]
        return parquet, pyarrow.schema(fields, metadata=schema.metadata)
    except UnicodeDecodeError:
        raise ScoreError(f"{file.name}: the name of a column is not UTF-8; rename it") from None
    except pyarrow.ArrowException as error:
        raise ScoreError(f"{file.name}: it cannot be read as Parquet: {_line(error)}") from None


def _joinable(kind: Any) -> Any:
    pa = arrow()
    return pa.dictionary(pa.int32(), kind.value_type, kind.ordered) if pa.types.is_dictionary(kind) else _plain(kind)


def _plain(kind: Any) -> Any:
    """The type without dictionaries."""
    pa = arrow()
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain(field.type)) for field in kind])
    if pa.types.is_map(kind):
        key, item = (field.with_type(_plain(field.type)) for field in (kind.key_field, kind.item_field))
        return pa.map_(key, item, kind.keys_sorted)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_plain(kind.value_type)), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_plain(kind.value_type)))
    return kind


def decoded(column: Any) -> Any:
    """The column without a dictionary, which may be that of the whole row group."""
    return column.dictionary_decode() if arrow().types.is_dictionary(column.type) else column


def _texts(column: Any) -> list[Any]:
    pyarrow = arrow()
    column = decoded(column)
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        raw = column.cast(pyarrow.large_binary()).to_pylist()
        values = [None if each is None else each.decode("utf-8", "surrogateescape") for each in raw]
    return values


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
