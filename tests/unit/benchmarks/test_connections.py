"""The light HTTP client of the benchmarks."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.overload.connections import Connections


@pytest.mark.parametrize(("header", "connections"), [(b"", 1), (b"Connection: close\r\n", 3)])
async def test_a_connection_is_used_again_unless_the_answer_says_close(header: bytes, connections: int) -> None:
    seen: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer)
        while b"POST" in await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            writer.write(b"HTTP/1.1 200 OK\r\n" + header + b"Content-Length: 2\r\n\r\n{}")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = Connections(server.sockets[0].getsockname()[1])
    try:
        assert [(await client.post(b"{}")).status for _ in range(3)] == [200, 200, 200]
        assert len(seen) == connections
    finally:
        client.close()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*(writer.wait_closed() for writer in seen))
