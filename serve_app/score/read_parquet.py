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

BATCH_ROWS, BATCH_BYTES = 256, 8 << 20
"""A batch has at most so many rows, and about so many bytes or one row. Each row in progress keeps its batch."""
_BUFFER = 1 << 20


class Cell(NamedTuple):
    """The place of a row: a record batch, and the row's index in it."""

    batch: Any
    row: int


def read_schema(file: InputFile) -> Any:
    """The Arrow schema of a file.

    Raises:
        ScoreError: it is not Parquet, or cannot be read.
    """
    with reading(file), file.open() as opened:
        return _open(file, opened).schema_arrow


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
            parquet = _open(file, opened)
            rows = 0
            for batch in parquet.iter_batches(batch_size=_batch_rows(parquet.metadata)):
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


def _batch_rows(metadata: Any) -> int:
    """The rows of a batch, from the footer alone, since the bounds of parts must depend only on the input."""
    rows = BATCH_ROWS
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if group.num_rows:
            rows = min(rows, int(BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)))
    return max(1, rows)


def _open(file: InputFile, opened: Any) -> Any:
    pyarrow = arrow()
    try:
        return arrow("pyarrow.parquet").ParquetFile(opened, pre_buffer=False, buffer_size=_BUFFER)
    except pyarrow.ArrowException as error:
        raise ScoreError(f"{file.name}: it cannot be read as Parquet: {_line(error)}") from None


def decoded(column: Any) -> Any:
    """The column without a dictionary, which may be that of the whole file."""
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
