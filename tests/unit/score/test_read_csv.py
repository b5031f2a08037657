"""How far reading goes on behind a quote that is never closed, and the size of lines and rows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.score.lines import Line, lines
from serve_app.score.read_csv import MAX_RECORD_LINES, Records
from serve_app.score.source import PART_BYTES, open_source


def test_a_quote_that_is_never_closed_takes_a_bounded_number_of_lines() -> None:
    taken = 0

    def count() -> Iterator[Line]:
        nonlocal taken
        for data in (b"text\n", b'"open\n', *[b"a\n"] * (2 * MAX_RECORD_LINES)):
            taken += 1
            yield Line(data, cut=False)

    records = iter(Records(count(), ","))
    assert [next(records)[0] for _ in range(3)] == [["text"], None, ["a"]]
    assert taken <= MAX_RECORD_LINES + 3
    assert sum(fields == ["a"] for fields, _, _ in records) == 2 * MAX_RECORD_LINES - 1


@pytest.mark.parametrize("last", [b"", b'9,"a"b\n'])
@pytest.mark.parametrize("between", [[], [b"7,good\n"]])
def test_many_stray_quotes_take_time_linear_in_the_lines(last: bytes, between: list[bytes]) -> None:
    fed = 0

    class Counts(Records):
        def _feed(self) -> Iterator[str]:
            nonlocal fed
            for text in super()._feed():
                fed += 1
                yield text

    data = [*[b'5",",good\n', *between] * 500, last, b'8,"good\nbad"\n', b"9,fine\n"]
    fed_lines = [Line(line, cut=False) for each in data for line in each.splitlines(keepends=True)]
    found = list(Counts(iter(fed_lines), ","))
    assert [fields for fields, _, _ in found][-2:] == [["8", "good\nbad"], ["9", "fine"]]
    assert b"".join(record for _, record, _ in found) == b"".join(data)
    assert fed < 5 * len(fed_lines)


@pytest.mark.parametrize("row", [b"x\n", b'"x"y\n'])
def test_the_fields_that_a_row_lacks_count_for_the_size_of_a_part(row: bytes, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"text" + b"," * (PART_BYTES // 4) + b"\n" + row * 100)
    parts = [len(part.rows) for part in open_source(str(tmp_path / "in.csv"), "text", ("A", "B"), 1000).parts()]
    assert (max(parts), sum(parts)) == (3, 100)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"aaa\r\nb\n", [(b"aaa\r\n", False), (b"b\n", False)]),
        (b"aaa\nb", [(b"aaa\n", False), (b"b", False)]),
        (b"aaaa\nb\n", [(b"aaa", True), (b"b\n", False)]),
        (b"aaa\r\rb\nc\n", [(b"aaa", True), (b"c\n", False)]),
        (b"aaa\r\r\r\r\nc\n", [(b"aaa", True), (b"c\n", False)]),
        (b"a\r\r\r\nc\n", [(b"a\r\r\r\n", False), (b"c\n", False)]),
        (b"aaaa\r\nc\n", [(b"aaa", True), (b"c\n", False)]),
        (b"aaa\r", [(b"aaa\r", False)]),
    ],
)
def test_a_line_at_the_limit_is_one_line(data: bytes, found: list[tuple[bytes, bool]]) -> None:
    assert list(lines(io.BytesIO(data), 3)) == found
