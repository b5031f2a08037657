"""A server of a part of Redis' protocol, alone or in front of a real one."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from serve_app.local.ports import free_port

Answer = Callable[[list[bytes]], bytes | None]
"""The answer to a command, by its words; b"" closes the connection, None leaves it to the real server."""

OK = b"+OK\r\n"


class RespServer:
    """Answers on a loopback port by `answer`; `commands` are the names of all commands received."""

    def __init__(self, answer: Answer, real_port: int = 0, greeting: bytes = b"") -> None:
        self.port = free_port()
        self.answer = answer
        self.commands: list[bytes] = []
        self._real_port = real_port
        self._greeting = greeting

    @asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncIterator[RespServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(writer.close)
            stack.enter_context(contextlib.suppress(OSError, asyncio.IncompleteReadError))
            if self._real_port:
                real_reader, real_writer = await asyncio.open_connection("127.0.0.1", self._real_port)
                stack.callback(real_writer.close)
            writer.write(self._greeting)
            while raw := await _read_one(reader):
                words = raw.split(b"\r\n")[2::2]  # no test sends a word with a line break
                self.commands.append(words[0].upper())
                answer = self.answer(words)
                if answer is None:
                    real_writer.write(raw)
                    answer = await _read_one(real_reader)
                if not answer:
                    return
                writer.write(answer)
                await writer.drain()


async def _read_one(reader: asyncio.StreamReader) -> bytes:
    """One value of the protocol as it came, or nothing at the end."""
    line = await reader.readline()
    kind, size = line[:1], line[1:]
    if kind == b"$" and int(size) >= 0:
        return line + await reader.readexactly(int(size) + 2)
    if kind == b"*" and int(size) >= 0:
        return line + b"".join([await _read_one(reader) for _ in range(int(size))])
    return line
