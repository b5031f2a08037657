"""What a file's name says of its format."""

from __future__ import annotations

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
ENDINGS = "csv, tsv, jsonl, ndjson, json and parquet, and all but parquet also with .gz or .zst behind"


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is written: its kind, and what it is compressed with."""

    kind: Kind
    compression: Compression = ""


def format_of(name: str) -> Format:
    """The format that the ending of a path or URL names.

    Raises:
        ScoreError: the ending is none of those that are known.
    """
    path = PurePosixPath(name.lower())
    compression = COMPRESSIONS.get(path.suffix, "")
    if compression:
        path = path.with_suffix("")
    kind = KINDS.get(path.suffix)
    if kind is None or (compression and kind == "parquet"):
        raise ScoreError(f"{name}: the ending names no format; there are {ENDINGS}")
    return Format(kind, compression)
