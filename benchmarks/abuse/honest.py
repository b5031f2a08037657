"""The honest clients: ten users of cached texts, some of uncached texts that obey Retry-After, and a health check."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import orjson
import uvloop

from benchmarks.overload.clients import Novelties, Record, ask, ask_and_obey
from benchmarks.overload.connections import Connections
from benchmarks.overload.run import go_first
from benchmarks.texts import COURSE_FIXED

USERS = 10
_REST_S, _HEALTH_S = 0.05, 0.5


@dataclass
class Seen:
    """The answers that they got."""

    hits: Record = field(default_factory=Record)
    first: Record = field(default_factory=Record)
    second: Record = field(default_factory=Record)
    health: Counter[int] = field(default_factory=Counter)


def use(port: int, seconds: float, uncached_users: int = 1) -> Seen:
    """Use the service for `seconds`, in a separate process."""
    go_first()
    return uvloop.run(_use(port, seconds, uncached_users))


async def _use(port: int, seconds: float, uncached_users: int) -> Seen:
    seen = Seen()
    until = time.perf_counter() + seconds
    connections = Connections(port)
    novelties = Novelties(1)
    body = orjson.dumps({"text": COURSE_FIXED})

    async def hits() -> None:
        while time.perf_counter() < until:
            await ask(connections, body, seen.hits)
            await asyncio.sleep(_REST_S)

    async def uncached() -> None:
        while time.perf_counter() < until:
            await ask_and_obey(connections, novelties.body(), seen.first, seen.second, until)
            await asyncio.sleep(_REST_S)

    async def health() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            while time.perf_counter() < until:
                try:
                    status = (await client.get(f"http://127.0.0.1:{port}/project/health")).status_code
                except httpx.HTTPError:
                    status = 0
                seen.health[status] += 1
                await asyncio.sleep(_HEALTH_S)

    await asyncio.gather(health(), *(uncached() for _ in range(uncached_users)), *(hits() for _ in range(USERS)))
    connections.close()
    return seen
