"""Writes rows as CSV or TSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from serve_app.score.rows import Part
from serve_app.score.values import records, to_text

if TYPE_CHECKING:
    from serve_app.score.write import Scored


def rows(part: Part, results: Sequence[Scored]) -> Iterator[list[str]]:
    """The fields of each row: those of the input, then the added ones."""
    plain = part.kind in ("csv", "tsv")
    for (values, rest), result in zip(records(part), results, strict=True):
        kept: Sequence[str] = [""] * len(part.columns)
        if values is not None:
            kept = values if plain else [to_text(value) for value in values]
        *before, raw = result.values
        yield [*kept, *(_field(value) for value in before), _field(raw or rest)]


def to_csv(lines: Iterable[Sequence[str]], delimiter: str) -> bytes:
    """CSV of the lines, quoted if necessary; bytes that were not UTF-8 are written unchanged."""
    rows = _Rows()
    csv.writer(rows, delimiter=delimiter, lineterminator="\r\n").writerows(lines)
    return "".join(rows).encode("utf-8", "surrogateescape")


class _Rows(list[str]):
    """Takes the rows of a `csv.writer` that end in CR LF, and has them end in LF.

    With LF alone the writer would not quote a field with CR, before Python 3.13 at least.
    """

    def write(self, row: str) -> None:
        self.append(row[:-2] + "\n")


def _field(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return to_text(value)
