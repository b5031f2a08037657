"""Clients by the thousand that go at random stages of a request, and whether the next ones are served."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct

import httpx

from benchmarks.texts import COURSE_FIXED
from serve_app.settings import MINI_MODEL
from tests.support.course_load import Report, ask
from tests.support.golden import golden, new_texts

AT_ONCE = 50
READ_S = 0.2
RESET = struct.pack("ii", 1, 0)


async def disconnect(port: int, number: int, seed: int) -> None:
    """Begin so many requests, and go: before, within or after the request, or within the answer."""
    chance = random.Random(seed)
    texts = new_texts(number, seed)
    numbers = iter(range(number))

    async def client() -> None:
        for index in numbers:
            body = json.dumps({"text": [texts[index], *chance.choices(COURSE_FIXED, k=chance.randrange(20))]}).encode()
            head = f"POST /project/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            data = head.encode() + body
            stage = chance.random()
            await _go(port, data[: int(len(data) * min(1.0, 1.5 * stage))], chance)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


async def _go(port: int, data: bytes, chance: random.Random) -> None:
    with contextlib.suppress(ConnectionError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            await writer.drain()
            if chance.random() < 0.5:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(chance.randrange(1, 300)), chance.uniform(0, READ_S))
            if chance.random() < 0.5:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        finally:
            writer.close()


async def good_requests(url: str, number: int, seed: int) -> Report:
    """So many requests one after another, each with a text that is new, each answer checked."""
    texts = new_texts(number, seed)
    model = golden(MINI_MODEL, [*COURSE_FIXED, *texts])
    report = Report()
    async with httpx.AsyncClient(timeout=30) as client:
        for text in texts:
            await ask(client, f"{url}/project/predict", [text, *COURSE_FIXED], {model.fingerprint: model}, report)
    return report
