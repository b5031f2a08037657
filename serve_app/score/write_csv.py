"""Rows as CSV or TSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from serve_app.score.rows import Part
from serve_app.score.values import records, to_text

if TYPE_CHECKING:
    from serve_app.score.write import Scored


def rows(part: Part, results: Sequence[Scored]) -> Iterator[list[str]]:
    """The fields of each row, the added ones behind the others."""
    plain = part.kind in ("csv", "tsv")
    for (values, rest), result in zip(records(part), results, strict=True):
        kept: Sequence[str] = [""] * len(part.columns)
        if values is not None:
            kept = values if plain else [to_text(value) for value in values]
        *before, raw = result.values
        yield [*kept, *(_field(value) for value in before), _field(raw or rest)]


def to_csv(lines: Iterable[Sequence[str]], delimiter: str) -> bytes:
    """The lines, quoted where they have to be; bytes that were no UTF-8 are written as they were."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _field(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return to_text(value)
