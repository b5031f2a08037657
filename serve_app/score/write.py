"""Writes rows and their scores in the output's format."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass

from model.labels import Scores
from serve_app.score import write_csv, write_json, write_parquet
from serve_app.score.arrow import arrow
from serve_app.score.columns import listed
from serve_app.score.errors import ScoreError
from serve_app.score.formats import Compression, Format
from serve_app.score.rows import Part
from serve_app.score.source import DELIMITERS, Source
from serve_app.score.values import to_text

DIGITS = 6


@dataclass(frozen=True, slots=True)
class Scored:
    """The added values of a row: best label, its score, all scores and truncation; or error and original row."""

    label: str | None
    score: float | None
    scores: tuple[float | None, ...]
    truncated: bool | None
    error: str | None
    raw: str | None

    @property
    def values(self) -> tuple[object, ...]:
        """The values in the order of `Added.names`."""
        return (self.label, self.score, *self.scores, self.truncated, self.error, self.raw)


def scored(scores: Scores, labels: Sequence[str], *, truncated: bool) -> Scored:
    """The added values of a row with scores. Among equal scores the model's first label wins, as in the service."""
    best = max(range(len(scores)), key=scores.__getitem__)
    rounded = tuple(round(score, DIGITS) for score in scores)
    return Scored(labels[best], rounded[best], rounded, truncated, None, None)


def failed(error: str, raw: str, labels: Sequence[str]) -> Scored:
    """The added values of a row without scores."""
    return Scored(None, None, (None,) * len(labels), None, error, raw or None)


class Writer:
    """Makes the bytes of an output, which is a head followed by the parts."""

    def __init__(self, source: Source, form: Format) -> None:
        """Make a writer for this source and format.

        Raises:
            ScoreError: the format cannot hold the source's columns.
        """
        self._source = source
        self._form = form
        if form.kind not in DELIMITERS and not form.kind == source.format.kind == "jsonl":
            _check_names([to_text(name) for name in source.columns], form.kind)  # two may become one as text
        if form.kind == "parquet":
            self.schema = write_parquet.output_schema(source)

    def head(self) -> bytes:
        """The bytes before the first part: the header of CSV, otherwise none.

        Without any part they are a complete file, so an empty gzip or zstd for compressed JSON lines.
        """
        if self._form.kind in DELIMITERS:
            names = [to_text(name) for name in (*self._source.columns, *self._source.added.names)]
            return self._compressed(write_csv.to_csv([names], DELIMITERS[self._form.kind]))
        return b"" if self._source.part_count else self._compressed(b"")

    def part(self, part: Part, results: Sequence[Scored]) -> bytes:
        """The bytes of a part; for Parquet a complete file."""
        match self._form.kind:
            case "parquet":
                return write_parquet.to_parquet(part, results, self._source, self.schema)
            case "jsonl":
                return self._compressed(write_json.to_json_lines(part, results, self._source.added))
            case kind:
                rows = write_csv.rows(part, results)
                return self._compressed(write_csv.to_csv(rows, DELIMITERS[kind]))

    def _compressed(self, data: bytes) -> bytes:
        return compress(data, self._form.compression)


def compress(data: bytes, compression: Compression) -> bytes:
    """Compress to a complete gzip member or zstd frame, since these can be concatenated."""
    if compression == "gzip":
        return gzip.compress(data, compresslevel=6, mtime=0)
    if compression == "zstd":
        packed: bytes = arrow().compress(data, codec="zstd", asbytes=True)
        return packed
    return data


def _check_names(columns: Sequence[str], kind: str) -> None:
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise ScoreError(
            f"two columns are called {listed([twice])}, which {kind} cannot hold; rename one, or write csv"
        )
