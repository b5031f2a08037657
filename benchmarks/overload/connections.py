"""HTTP over persistent connections with little CPU, since the generator may share CPUs with the service."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, the seconds of Retry-After or None, and how many texts were sent to the model.

    Status 0 is no answer.
    """

    status: int
    retry_after_s: int | None = None
    missed: int = 0


NONE = Answer(0)


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._settle(NONE)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        length = _number(head, b"\r\ncontent-length:") or 0
        if len(self._received) >= end + 4 + length:
            self._received.clear()
            if b"\r\nconnection: close" in head and self._transport is not None:
                self._transport.close()  # a proxy that ends says so, and resets what is sent after that
            self._settle(Answer(int(head[9:12]), _number(head, b"\r\nretry-after:"), _number(head, b",miss=") or 0))

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None:
            self._settle(NONE)
        else:
            self._transport.write(request)
        return self._answer

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _settle(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


def _number(head: bytes, after: bytes) -> int | None:
    """The whole number after these bytes."""
    _, found, rest = head.partition(after)
    digits = rest.lstrip()
    return int(digits[: len(digits) - len(digits.lstrip(b"0123456789"))]) if found else None


class Connections:
    """As many connections to the service as are needed at a time; they are reused."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []
        self._head = f"POST /project/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: "

    async def post(self, body: bytes) -> Answer:
        """Send a body and wait for the answer."""
        request = f"{self._head}{len(body)}\r\n\r\n".encode() + body
        try:
            connection = await self._acquire()
        except (ConnectionError, TimeoutError):
            return NONE
        try:
            answer = await connection.send(request)
        except asyncio.CancelledError:
            connection.close()
            raise
        self._idle.append(connection)
        return answer

    async def _acquire(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self._port)
        return connection

    def close(self) -> None:
        """Close idle connections."""
        for connection in self._idle:
            connection.close()
