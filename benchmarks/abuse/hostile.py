"""The hostile clients: each kind repeats one action, and all together use at most half a CPU."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import resource
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
import uvloop

from benchmarks.abuse import http2
from benchmarks.texts import COURSE_FIXED, WORDS

MAX_CPU = 0.45
_STEP_S = 0.5
_MIB = 1 << 20
_NUMBERS = itertools.count(random.getrandbits(32))
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def post(body: bytes, length: int | None = None, extra: bytes = b"") -> bytes:
    """A predict request, whose Content-Length may exceed its body."""
    size = len(body) if length is None else length
    return b"POST /project/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%b\r\n%b" % (size, extra, body)


NESTED = post((b'{"text":[' + b"[[[[]]]]," * (_MIB // 9))[: _MIB - 2])
WIDE = post(b'{"text":["a"]' + b"".join(b',"f%d":0' % n for n in range(90_000)) + b"}")
HITS = post(orjson.dumps({"text": COURSE_FIXED}))
HUGE = post(b"{}", extra=b"X-A: " + b"x" * 60_000 + b"\r\n")
PIPELINE = 50


class Hostile:
    """A service's address and the connections held open to it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._held: dict[str, deque[asyncio.StreamWriter]] = {}

    async def ask(self, request: bytes) -> None:
        """Send a request, wait for its answer, close."""
        reader, writer = await self._open()
        writer.write(request)
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(65536), 10)
        writer.close()

    async def go(self, request: bytes, after_s: float = 0) -> None:
        """Send a request and disconnect, at once or after `after_s`."""
        _, writer = await self._open()
        try:
            writer.write(request)
            await asyncio.sleep(after_s)
        finally:
            writer.transport.abort()

    async def hold(self, kind: str, data: bytes, number: int) -> None:
        """Send `data`, and hold the connection open until `number` of the kind are open."""
        _, writer = await self._open()
        writer.write(data)
        held = self._held.setdefault(kind, deque())
        held.append(writer)
        if len(held) > number:
            held.popleft().transport.abort()

    async def _open(self) -> Streams:
        return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self._port), 10)


@dataclass(frozen=True)
class Kind:
    """A client's action, and the seconds between two of them."""

    name: str
    rest_s: float
    act: Callable[[Hostile], Awaitable[None]]


def _unfinished() -> bytes:
    streams = range(1, 200, 2)
    return http2.HELLO + b"".join(http2.opened(stream, _MIB) + http2.data(stream, 500) for stream in streams)


def _rapid_reset() -> bytes:
    return http2.HELLO + b"".join(http2.opened(stream) + http2.reset(stream) for stream in range(1, 1000, 2))


def _novel(texts: int, words: int) -> bytes:
    sentences = [f"{next(_NUMBERS)} {' '.join(random.choices(WORDS, k=words))}" for _ in range(texts)]  # noqa: S311
    return post(orjson.dumps({"text": sentences}))


KINDS = (
    Kind("nested JSON", 0.1, lambda them: them.ask(NESTED)),
    Kind("wide JSON", 0.1, lambda them: them.ask(WIDE)),
    Kind("slow bodies", 0.05, lambda them: them.hold("bodies", post(b" " * 20_000, _MIB), 500)),
    Kind("slow headers", 0.02, lambda them: them.hold("headers", HITS[:60], 500)),
    Kind("idle floods", 0.005, lambda them: them.hold("idle", b"", 3000)),
    Kind("pipelining", 0.2, lambda them: them.ask(HITS * PIPELINE)),
    Kind("huge headers", 0.05, lambda them: them.ask(HUGE)),
    Kind("cancel storms", 0.02, lambda them: them.go(_novel(1, 20))),
    Kind("unfinished HTTP/2 bodies", 0.2, lambda them: them.hold("http2", _unfinished(), 55)),
    Kind("rapid reset", 0.1, lambda them: them.go(_rapid_reset())),
    Kind("dense texts", 0.2, lambda them: them.ask(_novel(1, 600))),
    Kind("lists at the limits", 0.5, lambda them: them.ask(_novel(1000, 150))),
)


def attack(port: int, seconds: float, faster: float = 1.0) -> tuple[Counter[str], float]:
    """Attack for `seconds`, in a separate process; the number of each kind's actions, and the CPUs that all used.

    `faster` divides the rests of each kind.
    """
    return uvloop.run(_attack(port, seconds, faster))


async def _attack(port: int, seconds: float, faster: float) -> tuple[Counter[str], float]:
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    counts: Counter[str] = Counter()
    them = Hostile(port)
    began, used = time.monotonic(), time.process_time()
    until = began + seconds
    pace = 1.0

    async def repeat(kind: Kind) -> None:
        while time.monotonic() < until:
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await kind.act(them)
                counts[kind.name] += 1
            await asyncio.sleep(kind.rest_s * pace / faster)

    async def govern() -> None:
        nonlocal pace
        before, then = time.process_time(), time.monotonic()
        while time.monotonic() < until:
            await asyncio.sleep(_STEP_S)
            now = time.process_time(), time.monotonic()
            pace = max(1.0, pace * (1.3 if (now[0] - before) / (now[1] - then) > MAX_CPU else 0.95))
            before, then = now

    await asyncio.gather(govern(), *(repeat(kind) for kind in KINDS))
    return counts, (time.process_time() - used) / (time.monotonic() - began)
