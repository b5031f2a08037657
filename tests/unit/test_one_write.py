"""How often a real uvicorn writes for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serve_app.one_write import in_one_write
from tests.wait import until_async


class Recorded:
    """A transport whose writes are kept."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """Uvicorn's own, on a recorded transport."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Recorded(transport))  # type: ignore[arg-type]


writes: list[bytes] = []


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async def together(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, in_one_write(send))

    server = uvicorn.Server(uvicorn.Config(together, port=0, lifespan="off", log_config=None, http=Protocol))
    running = asyncio.create_task(server.serve())
    await until_async(lambda: server.started, "the server has started")
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client
    server.should_exit = True
    await running


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}])
async def test_an_answer_is_one_write(headers: dict[str, str]) -> None:
    async with served(PlainTextResponse("all of it")) as client:
        for _ in range(3):
            writes.clear()
            answer = await client.get("/", headers=headers)
            assert answer.text == "all of it"
            assert len(writes) == 1


async def test_what_comes_in_parts_is_sent_in_parts() -> None:
    gate = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await gate.wait()
        yield b"second"

    async with served(StreamingResponse(parts())) as client, client.stream("GET", "/") as answer:
        received = answer.aiter_bytes()
        assert await anext(received) == b"first"
        gate.set()
        assert [part async for part in received] == [b"second"]


async def test_an_answer_without_a_body_is_not_held_back_for_ever() -> None:
    async def breaks(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async with served(breaks) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/", timeout=10)


async def test_another_servers_send_is_left_alone() -> None:
    async def send(_: Any) -> None: ...

    assert in_one_write(send) is send
