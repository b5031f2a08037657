"""Requests over cleartext HTTP/2 as frames, which stay unfinished; a client library would finish them."""

from __future__ import annotations

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
CANCEL = 8
END_HEADERS, END_STREAM = 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


HELLO = PREFACE + frame(SETTINGS, 0, 0)


def connect(port: int) -> socket.socket:
    """A connection after HTTP/2's preface."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(HELLO)
    return connection


def opened(stream: int, length: int | None = None, *, method: bytes = b"\x83") -> bytes:
    """The head of a predict request, a POST unless `method` says otherwise, whose body follows."""
    head = method + b"\x86" + _field(b"\x04", b"/project/predict") + _field(b"\x01", b"localhost")
    if length is not None:
        head += b"\x00" + _string(b"content-length") + _string(b"%d" % length)
    return frame(HEADERS, END_HEADERS, stream, head)


def data(stream: int, size: int) -> bytes:
    """A part of a body, not the last."""
    return b"".join(frame(DATA, 0, stream, b" " * min(16_000, size - sent)) for sent in range(0, size, 16_000))


def _field(index: bytes, value: bytes) -> bytes:
    return index + _string(value)


def _string(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def reset(stream: int) -> bytes:
    """The cancellation of a stream."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
