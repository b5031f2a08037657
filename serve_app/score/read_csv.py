"""Reads rows of CSV and TSV. A malformed row becomes a row with an error."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator

from serve_app.score.errors import ScoreError
from serve_app.score.lines import MAX_LINE_BYTES, Line
from serve_app.score.rows import Row, printable, text_fault

_BYTES = "surrogateescape"
"""Codec error handler by which bytes that are not UTF-8 are kept in fields and written unchanged."""
MAX_RECORD_LINES = 65_536
"""A quoted field over more lines is malformed, like one of more than `MAX_LINE_BYTES`."""


class _Unclosed(Exception):
    """A quoted field does not end within the limits, or in the file."""


class Records:
    """Records of a stream of lines, with the quoting that spreadsheets and pandas write.

    If a record is malformed, as by a quote that is never closed, its first line becomes one record and reading
    resumes at the next line. So a stray quote costs one row.

    The lines that a malformed record has taken are read again. If another of them begins a malformed record, each line
    before the end of that is a record of its own; otherwise many stray quotes would take time quadratic in the lines.
    """

    def __init__(self, lines: Iterator[Line], delimiter: str) -> None:
        csv.field_size_limit(MAX_LINE_BYTES + 2)
        self._lines = lines
        self._delimiter = delimiter
        self._again: deque[Line] = deque()
        self._taken: list[Line] = []
        self._size = 0
        self._done = 0  # lines of finished records
        self._seen_until = 0  # number of the line that ended a malformed record
        self._alone_until = 0  # the lines before this one are records of their own
        self._reader = self._new_reader()

    def __iter__(self) -> Iterator[tuple[list[str] | None, bytes, bool]]:
        """Each record's fields (None if malformed or cut), bytes, and whether it was cut. Skips empty lines."""
        while True:
            self._taken.clear()
            self._size = 0
            try:
                fields: list[str] | None = next(self._reader)
            except StopIteration:
                return
            except (csv.Error, _Unclosed):
                fields = None
                until = self._done + len(self._taken) - 1
                if self._done < self._seen_until:
                    self._alone_until = max(self._alone_until, until)
                self._seen_until = max(self._seen_until, until)
                first, *rest = self._taken
                self._again.extendleft(reversed(rest))
                self._taken[:] = [first]
                self._reader = self._new_reader()
            self._done += len(self._taken)
            if fields == []:
                continue
            cut = any(line.cut for line in self._taken)
            yield None if cut else fields, b"".join(line.data for line in self._taken), cut

    def _new_reader(self) -> Iterator[list[str]]:
        return csv.reader(self._feed(), delimiter=self._delimiter, strict=True)

    def _feed(self) -> Iterator[str]:
        while (line := self._again.popleft() if self._again else next(self._lines, None)) is not None:
            self._taken.append(line)
            self._size += len(line.data)
            if len(self._taken) > 1 and self._must_end():
                raise _Unclosed
            yield line.data.decode("utf-8", _BYTES)
        if self._taken:
            raise _Unclosed

    def _must_end(self) -> bool:
        return self._size > MAX_LINE_BYTES or len(self._taken) > MAX_RECORD_LINES or self._done < self._alone_until


def read_header(records: Iterator[tuple[list[str] | None, bytes, bool]], place: str) -> tuple[str, ...]:
    """The names of the columns, from the first record.

    Raises:
        ScoreError: the file has no header, or it is malformed.
    """
    fields, _, _ = next(records, (None, b"", False))
    if not fields:
        raise ScoreError(f"{place}: no header; the first line must name the columns")
    try:
        for name in fields:
            name.encode()
    except UnicodeEncodeError:
        raise ScoreError(f"{place}: the header is not UTF-8; convert the file, for instance with iconv") from None
    return tuple(fields)


def read_rows(
    records: Iterator[tuple[list[str] | None, bytes, bool]], width: int, at: int, max_chars: int
) -> Iterator[Row]:
    """The rows after the header, which have `width` fields; the text is field number `at`."""
    for fields, data, cut in records:
        size = len(data) + max(0, width - len(fields or ()))  # each missing field is written
        if cut:
            yield Row(None, None, size, f"the line is longer than {MAX_LINE_BYTES >> 20} MiB; cut", printable(data))
        elif fields is None:
            line = data.rstrip(b"\r\n")
            fault = "a carriage return is outside quotes" if b"\r" in line else "the quotes are malformed"
            yield Row(None, None, size, fault, printable(line))
        elif len(fields) != width:
            fault = f"it has {len(fields)} fields where the header has {width}"
            kept = [*fields[:width], *[""] * (width - len(fields))]
            yield Row(kept, None, size, fault, printable(data.rstrip(b"\r\n")))
        else:
            fault = text_fault(fields[at], max_chars)
            yield Row(fields, None if fault else fields[at], size, fault)
