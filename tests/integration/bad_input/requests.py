"""Requests as bytes, and how they are sent and answered without an HTTP client that would refuse to."""

from __future__ import annotations

import json
import socket

from tests.support.service import Service

CANARY = "canary-5c1d"
SILENCE_S = 30.0


def texts(*items: object) -> bytes:
    """A body with these texts."""
    return json.dumps({"text": items}).encode()


def request(
    body: bytes, version: str = "1.1", extra: str = "Connection: close\r\n", length: int | None = None
) -> bytes:
    """A predict request; `length` is what Content-Length says where it does not tell the truth."""
    size = len(body) if length is None else length
    head = f"POST /project/predict HTTP/{version}\r\nHost: x\r\nContent-Length: {size}\r\n{extra}\r\n"
    return head.encode() + body


def chunked(*chunks: bytes, extra: str = "") -> bytes:
    """A predict request whose body is these chunks, sizes included."""
    head = (
        f"POST /project/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n{extra}\r\n"
    )
    return head.encode() + b"".join(chunks)


def chunk(data: bytes) -> bytes:
    """One chunk; the last of a body is empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def connect(service: Service) -> socket.socket:
    """A connection to the service's port, where HAProxy listens."""
    return socket.create_connection(("127.0.0.1", service.port), timeout=SILENCE_S)


def raw(service: Service, data: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes as they are; what comes back until the server closes. A reset ends it too."""
    with connect(service) as connection:
        answer = b""
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except ConnectionError:
            pass
        return answer


def status(answer: bytes) -> int:
    """The status of the first answer; 0 where there is none."""
    line = answer.split(b"\r\n", 1)[0].split()
    return int(line[1]) if len(line) > 1 and line[0].startswith(b"HTTP/1.") else 0
