"""File formats, by the ending of a file's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from serve_app.score.errors import ScoreError

Kind = Literal["csv", "tsv", "jsonl", "parquet"]
Compression = Literal["", "gzip", "zstd"]

KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
ENDINGS = "csv, tsv, jsonl, ndjson, json and parquet, each but parquet also followed by .gz or .zst"


_OPTIONS = re.compile(r"(?<=://)([^?]*)\?\w+=.*$")
"""Options of a URL, as in s3://bucket/a.csv?region=eu-north-1."""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file and its compression."""

    kind: Kind
    compression: Compression = ""


def format_of(name: str) -> Format:
    """The format of a path or URL, by its ending.

    Raises:
        ScoreError: the ending is unknown.
    """
    path = PurePosixPath(_OPTIONS.sub(r"\1", name.lower()))
    compression = COMPRESSIONS.get(path.suffix, "")
    if compression:
        path = path.with_suffix("")
    kind = KINDS.get(path.suffix)
    if kind is None or (compression and kind == "parquet"):
        raise ScoreError(f"{name}: its ending is no known format; known are {ENDINGS}")
    return Format(kind, compression)
