"""Lines of a byte stream, of bounded length whatever the stream holds."""

from __future__ import annotations

import io
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
        if len(data.rstrip(b"\r\n")) <= limit:
            yield Line(data, cut=False)
            continue
        rest = data
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(_SKIP_BYTES)
        yield Line(data[:limit], cut=True)


class CarriageReturns(io.RawIOBase):
    """Replaces carriage returns by line feeds, for a stream without line feeds."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read at most as many bytes as the buffer holds; 0 at the end."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._stream.read(len(view)).replace(b"\r", b"\n")
        view[: len(data)] = data
        return len(data)
