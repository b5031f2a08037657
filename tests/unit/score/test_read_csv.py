"""How far reading goes on behind a quote that is never closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serve_app.score.lines import Line
from serve_app.score.read_csv import MAX_RECORD_LINES, Records


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
    lines = [Line(line, cut=False) for each in data for line in each.splitlines(keepends=True)]
    found = list(Counts(iter(lines), ","))
    assert [fields for fields, _, _ in found][-2:] == [["8", "good\nbad"], ["9", "fine"]]
    assert b"".join(record for _, record, _ in found) == b"".join(data)
    assert fed < 5 * len(lines)
