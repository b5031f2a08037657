"""Opens an input file as a stream of uncompressed bytes without a byte-order mark, and counts the bytes read."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

from serve_app.score.arrow import arrow
from serve_app.score.errors import ScoreError, explain_os_error
from serve_app.score.formats import Compression
from serve_app.score.places import InputFile

_BUFFER = 1 << 18
_UTF8 = b"\xef\xbb\xbf"
_OTHER_UTF = {
    b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16",
}  # fmt: skip
"""Byte-order marks of encodings that are not read; the longer ones first, since one begins like another."""
_COMPRESSED = {b"\x1f\x8b": ("gzip", ".gz"), b"\x28\xb5\x2f\xfd": ("zstd", ".zst")}
"""First bytes of compressed files, with their compression and its ending."""
_UNREADABLE = {b"\xfd7zXZ": "xz", **{b"BZh%d1AY&SY" % level: "bzip2" for level in range(1, 10)}}
"""The same for compressions that are not read."""


@dataclass
class Counter:
    """Number of bytes read."""

    count: int = 0

    def add(self, data: bytes) -> bytes:
        """Count the bytes, and return them."""
        self.count += len(data)
        return data


class Bytes(io.RawIOBase):
    """A raw stream over any object with `read`. Its bytes pass through `change`, which keeps their number."""

    def __init__(self, stream: IO[bytes], change: Callable[[bytes], bytes] = bytes) -> None:
        self._stream = stream
        self._change = change

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read at most as many bytes as the buffer holds; 0 at the end."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._change(self._stream.read(len(view)))
        view[: len(data)] = data
        return len(data)


@contextmanager
def open_stream(file: InputFile, compression: Compression, counter: Counter) -> Iterator[io.BufferedReader[Any]]:
    """The file's uncompressed bytes. The counter counts bytes of the file, which may be compressed.

    Raises:
        ScoreError: the file cannot be read or uncompressed, is in UTF-16 or UTF-32, or is compressed against its name.
    """
    with reading(file), file.open() as opened:
        raw = _uncompressed(Bytes(opened, counter.add), compression)
        stream: io.BufferedReader[Any] = io.BufferedReader(raw, _BUFFER)
        start = stream.peek(_BUFFER)
        for magic, (compressed, ending) in _COMPRESSED.items():
            if start.startswith(magic):
                raise ScoreError(f"{file.name}: it is compressed with {compressed}; rename it to end in {ending}")
        for magic, compressed in _UNREADABLE.items():
            if start.startswith(magic):
                raise ScoreError(f"{file.name}: it is compressed with {compressed}; decompress it first")
        for mark, encoding in _OTHER_UTF.items():
            if start.startswith(mark):
                raise ScoreError(f"{file.name}: it is in {encoding}; convert it: iconv -f {encoding} -t UTF-8")
        if start.startswith(_UTF8):
            stream.read(len(_UTF8))
            start = start[len(_UTF8) :]
        if b"\r" in start and b"\n" not in start:
            stream = io.BufferedReader(Bytes(stream, lambda data: data.replace(b"\r", b"\n")), _BUFFER)
        yield stream


@contextmanager
def reading(file: InputFile) -> Iterator[None]:
    """Turn errors of reading the file into a `ScoreError`.

    Raises:
        ScoreError: it cannot be read or uncompressed.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ScoreError(f"{file.name}: the gzip data is damaged or incomplete; finished parts are kept") from None
    except OSError as error:
        raise explain_os_error(error, file.name) from None


def _uncompressed(stream: Bytes, compression: Compression) -> io.RawIOBase:
    if compression == "gzip":
        return cast("io.RawIOBase", gzip.GzipFile(fileobj=io.BufferedReader(stream, _BUFFER), mode="rb"))
    if compression == "zstd":
        opened = arrow().CompressedInputStream(io.BufferedReader(stream, _BUFFER), "zstd")
        return Bytes(cast("IO[bytes]", opened))
    return stream
