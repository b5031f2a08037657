"""Lines of a byte stream, none of them longer than a bound, whatever the stream holds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, NamedTuple

MAX_LINE_BYTES = 16 << 20
_SKIP_BYTES = 1 << 20


class Line(NamedTuple):
    """A line with its end, and whether it was longer: the rest is then lost."""

    data: bytes
    cut: bool


def lines(stream: IO[bytes], limit: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """The stream's lines, each with what ends it; of longer ones the first `limit` bytes."""
    while data := stream.readline(limit + 2):
        if len(data.rstrip(b"\r\n")) <= limit:
            yield Line(data, cut=False)
            continue
        rest = data
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(_SKIP_BYTES)
        yield Line(data[:limit], cut=True)


class CarriageReturns(io.RawIOBase):
    """A stream whose lines end in a carriage return alone, read with line feeds instead."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill the buffer as far as the stream goes."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._stream.read(len(view)).replace(b"\r", b"\n")
        view[: len(data)] = data
        return len(data)
