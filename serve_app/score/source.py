"""An input: files of one format, whose rows are grouped into parts. The parts depend only on the input."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from serve_app.score import read_csv, read_json, read_parquet
from serve_app.score.columns import Added, added_columns, listed
from serve_app.score.errors import ScoreError
from serve_app.score.formats import Format, format_of
from serve_app.score.lines import Line, lines
from serve_app.score.places import InputFile, input_files
from serve_app.score.rows import Part, Row
from serve_app.score.streams import Counter, open_stream, reading

PART_ROWS, PART_BYTES = 1024, 32 << 10
"""A part ends at the first limit reached. Its texts mostly fit into one call of the engine, and are a few seconds of
work for one thread even on a slow CPU, so that workers wait little for the last part."""

DELIMITERS = {"csv": ",", "tsv": "\t"}
_SAMPLE_LINES, _SAMPLE_BYTES = 2048, 4 << 20


@dataclass
class Source:
    """Files of one format and with the same columns."""

    files: list[InputFile]
    format: Format
    column: str
    columns: tuple[str, ...]
    """For JSON lines, the names in the first lines of all files, which become the columns of other formats."""
    added: Added
    max_chars: int
    schema: Any = None
    """Arrow's schema, for Parquet."""
    output: str = ""
    """Path or URL of the output, for messages."""
    read_bytes: int = field(default=0, init=False)
    """Bytes of `size` that `parts` has read."""
    part_count: int = field(default=0, init=False)
    """Number of parts that `parts` has yielded."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def parts(self) -> Iterator[Part]:
        """All rows, in the order of the files. A part has rows of one file.

        Raises:
            ScoreError: a file cannot be read, or has changed since the source was opened.
        """
        number, first = 0, 0
        self.part_count = 0
        for file in self.files:
            before = self.read_bytes
            counter, in_file = Counter(), 0
            for rows in _cut(self._rows(file, counter)):
                self.read_bytes = before + min(counter.count, file.size)
                self.part_count += 1
                yield Part(number, first, in_file, self.format.kind, self.columns, rows)
                number, first, in_file = number + 1, first + len(rows), in_file + len(rows)
            self.read_bytes = before + file.size
            with reading(file):
                self._check(file, same=file.state() == (file.size, file.mtime_ns))

    def _rows(self, file: InputFile, counter: Counter) -> Iterator[Row]:
        kind = self.format.kind
        if kind == "parquet":
            self._check(file, same=read_parquet.has_columns(file, self.schema))
            yield from read_parquet.read_rows(file, self.column, self.max_chars, counter)
            return
        with open_stream(file, self.format.compression, counter) as stream:
            if kind == "jsonl":
                taken = frozenset(self.added.names)
                yield from read_json.read_rows(lines(stream), self.column, self.max_chars, taken)
                return
            records = iter(read_csv.Records(lines(stream), DELIMITERS[kind]))
            self._check(file, same=read_csv.read_header(records, file.name) == self.columns)
            at = self.columns.index(self.column)
            yield from read_csv.read_rows(records, len(self.columns), at, self.max_chars)

    def _check(self, file: InputFile, *, same: bool) -> None:
        if not same:
            raise ScoreError(f"{file.name}: it changed while it was read; remove {self.output}.parts and start again")


def open_source(place: str, column: str, labels: Sequence[str], max_chars: int, output: str = "") -> Source:
    """Open an input, after a check of the start of every file. `output` and its parts are no part of it.

    Raises:
        ScoreError: a file is missing, cannot be read, lacks the column, or differs in format or columns from the first.
    """
    files = input_files(place, output)
    form = format_of(files[0].name)
    columns: tuple[str, ...] = ()
    schema: Any = None
    for number, file in enumerate(files):
        if format_of(file.name) != form:
            raise ScoreError(f"{file.name} and {files[0].name} are of different formats; score them one by one")
        found, file_schema = _look(file, form, column)
        if number and form.kind == "parquet":
            file_schema = read_parquet.common_schema(schema, files[0].name, file_schema, file.name)
        elif number and form.kind != "jsonl" and found != columns:
            raise ScoreError(f"{file.name} and {files[0].name} have different columns; score them one by one")
        columns = tuple(dict.fromkeys((*columns, *found))) if form.kind == "jsonl" else found
        schema = file_schema
    columns = columns or (column,)
    return Source(files, form, column, columns, added_columns(labels, columns), max_chars, schema, output)


def _look(file: InputFile, form: Format, column: str) -> tuple[tuple[str, ...], Any]:
    """The columns of a file, none if its JSON lines have no object, and for Parquet their Arrow schema."""
    schema: Any = None
    if form.kind == "parquet":
        schema = read_parquet.read_schema(file)
        names = tuple(schema.names)
    else:
        with open_stream(file, form.compression, Counter()) as stream:
            if form.kind == "jsonl":
                sampled = _sample_names(file, stream, column)
                if sampled is None:
                    return (), None
                names = sampled
            else:
                names = read_csv.read_header(iter(read_csv.Records(lines(stream), DELIMITERS[form.kind])), file.name)
    if column not in names:
        raise ScoreError(f"{file.name} has no column {column}, only {listed(names)}; choose one with --column")
    if names.count(column) > 1:
        raise ScoreError(f"{file.name} has {names.count(column)} columns {column}; rename all but one")
    if form.kind == "parquet":
        read_parquet.check_text(schema, column, file.name)
    return names, schema


def _sample_names(file: InputFile, stream: io.BufferedReader[Any], column: str) -> tuple[str, ...] | None:
    """The names in the objects of the first lines, in order of appearance; None if there is no object.

    `column` is one of the names too if an object of a later line has it.

    Raises:
        ScoreError: the file is one JSON array.
    """
    names: dict[str, None] = {}
    objects = size = 0
    first = second = b""
    all_lines = lines(stream)
    for line in itertools.islice(all_lines, _SAMPLE_LINES):
        data = line.data.strip()
        if not first:
            first = data
        elif not second:
            second = data
        value = None if line.cut else read_json.parse(data)
        if isinstance(value, dict):
            names |= dict.fromkeys(value)
            objects += 1
        size += len(line.data)
        if size > _SAMPLE_BYTES:
            break
    if read_json.looks_like_array(first, second):
        raise ScoreError(f"{file.name}: it is one JSON array, not JSON lines; convert it: jq -c '.[]'")
    # the whole file is read only if its first lines lack the column, as after a mistake in its name
    if column not in names and any(_has_name(line, column) for line in all_lines):
        names[column] = None
    return tuple(names) if objects else None


def _has_name(line: Line, name: str) -> bool:
    """Whether the line is an object with this name. Most lines are not parsed, which would take longer."""
    if line.cut or not (name.encode() in line.data or b"\\" in line.data):  # a name may be written with escapes
        return False
    value = read_json.parse(line.data.strip())
    return isinstance(value, dict) and name in value


def _cut(rows: Iterable[Row]) -> Iterator[list[Row]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        if part and (len(part) == PART_ROWS or size + row.size > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += row.size
    if part:
        yield part
