"""Lines of a byte stream, of bounded length whatever the stream holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple

MAX_LINE_BYTES = 16 << 20
_SKIP_BYTES = 1 << 20


class Line(NamedTuple):
    """A line with its line ending, and whether it was cut at the limit; the rest of a cut line is dropped."""

    data: bytes
    cut: bool


def lines(stream: IO[bytes], limit: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """Iterate over the lines with their line endings; a longer line is cut to `limit` bytes."""
    while data := stream.readline(limit + 2):
        if len(data.removesuffix(b"\n").removesuffix(b"\r")) <= limit:
            yield Line(data, cut=False)
            continue
        rest = data
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(_SKIP_BYTES)
        yield Line(data[:limit], cut=True)
