"""Writes rows as Parquet: each part is a small file, and the files are merged at the end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from serve_app.score.arrow import arrow
from serve_app.score.rows import Part
from serve_app.score.source import Source
from serve_app.score.values import records, to_text

if TYPE_CHECKING:
    from serve_app.score.write import Scored

_COMPRESSION = "zstd"
_WHOLE_DICTIONARY = 256
"""A dictionary of at most so many values is kept, also those that no row has."""


def output_schema(source: Source) -> Any:
    """The input's columns with their types (text if its format has no types), then the added ones."""
    pa = arrow()
    if source.schema is None:
        fields = [pa.field(to_text(name), pa.large_string()) for name in source.columns]
        metadata = None
    else:
        fields, metadata = list(source.schema), source.schema.metadata
    added = source.added
    fields += [pa.field(added.label, pa.string()), pa.field(added.score, pa.float64())]
    fields += [pa.field(name, pa.float64()) for name in added.scores]
    fields += [pa.field(added.truncated, pa.bool_()), pa.field(added.error, pa.string())]
    fields += [pa.field(added.raw, pa.large_string())]
    return pa.schema(fields, metadata=metadata)


def to_parquet(part: Part, results: Sequence[Scored], source: Source, schema: Any) -> bytes:
    """The part as a Parquet file."""
    pa = arrow()
    rests = [""] * len(results)
    if source.schema is not None:
        columns = pa.Table.from_batches(list(_batches(part))).columns  # of one file, whose columns may be less nullable
        own = [_trimmed(column) for column in columns]
    else:
        values, rests = _texts(part)
        own = [pa.array(column, pa.large_string()) for column in values]
    columns = list(zip(*(result.values for result in results), strict=True))
    columns[-1] = tuple(raw or rest or None for raw, rest in zip(columns[-1], rests, strict=True))
    kinds = [field.type for field in list(schema)[len(own) :]]
    added = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_arrays([*own, *added], schema=schema)
    arrow("pyarrow.parquet").write_table(table, sink, compression=_COMPRESSION)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def merge(
    parts: Iterator[bytes], sink: Any, schema: Any, group_rows: int = 1 << 16, group_bytes: int = 32 << 20
) -> None:
    """Write the rows of all parts as one file; a row group has the rows of several parts."""
    pa, parquet = arrow(), arrow("pyarrow.parquet")
    with parquet.ParquetWriter(sink, schema, compression=_COMPRESSION) as writer:
        waiting: list[Any] = []
        rows = size = 0
        for data in parts:
            table = parquet.ParquetFile(pa.BufferReader(data)).read(use_threads=False).cast(schema)
            waiting.append(table)
            rows += table.num_rows
            size += table.nbytes
            if rows >= group_rows or size >= group_bytes:
                writer.write_table(pa.concat_tables(waiting), row_group_size=1 << 30)
                waiting = []
                rows = size = 0
        if waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=1 << 30)


def _trimmed(column: Any) -> Any:
    """The column. Of a large dictionary, which may be that of a whole row group, only the used values stay."""
    pa = arrow()
    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array([_with_used(chunk) for chunk in column.chunks], column.type)


def _with_used(chunk: Any) -> Any:
    if chunk.type.ordered or len(chunk.dictionary) <= _WHOLE_DICTIONARY:
        return chunk
    pa, compute = arrow(), arrow("pyarrow.compute")
    used = compute.unique(chunk.indices).drop_null().sort()
    return pa.DictionaryArray.from_arrays(compute.index_in(chunk.indices, used), chunk.dictionary.take(used))


def _batches(part: Part) -> Iterator[Any]:
    """The record batches of the part's rows, sliced to those rows."""
    for _, rows in itertools.groupby(part.rows, key=lambda row: id(row.values.batch)):
        cells = [row.values for row in rows]
        yield cells[0].batch.slice(cells[0].row, len(cells))


def _texts(part: Part) -> tuple[list[list[str | None]], list[str]]:
    """Each column's values as text or None, and for each row its original text if it has further values."""
    columns: list[list[str | None]] = [[] for _ in part.columns]
    rests = []
    for values, rest in records(part):
        rests.append(rest)
        for column, value in zip(columns, values or [None] * len(columns), strict=True):
            column.append(None if value is None else to_text(value))
    return columns, rests
