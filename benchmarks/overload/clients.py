"""Clients of cached texts and of new texts, which retry as asked if they are refused."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import orjson

from benchmarks.overload.connections import Answer, Connections
from benchmarks.texts import WORD_QUANTILES, WORDS

OK, TOO_BUSY = 200, 429
_TICK_S = 0.005
_PAUSE_S = 0.1
"""Before the next request of a user who got no answer: a service that is gone refuses thousands a second."""


@dataclass
class Record:
    """The answers to a group of clients: statuses, seconds of the 200s, and retry times."""

    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    without_retry_after: int = 0
    max_retry_after_s: int = 0
    missed: int = 0

    def add(self, answer: Answer, seconds: float) -> None:
        """Count an answer."""
        self.statuses[answer.status] += 1
        if answer.status == OK:
            self.times.append(seconds)
        self.missed += answer.missed
        self.without_retry_after += answer.status == TOO_BUSY and not answer.retry_after_s
        self.max_retry_after_s = max(self.max_retry_after_s, answer.retry_after_s or 0)

    def percentile_ms(self, percent: float) -> float:
        """The time within which `percent` of the 200s came. If there are none it is nan, which holds no bar."""
        if not self.times:
            return math.nan
        return sorted(self.times)[min(len(self.times) - 1, int(len(self.times) * percent / 100))] * 1000

    @property
    def failed(self) -> int:
        """Number of 5xx answers and of requests without an answer."""
        return sum(count for status, count in self.statuses.items() if status >= 500 or not status)  # noqa: PLR2004


class Novelties:
    """Bodies of `texts` new texts each: sentences, or `words` words each."""

    def __init__(self, texts: int, words: int | None = None) -> None:
        self._texts = texts
        self._numbers = itertools.count(random.getrandbits(32))
        self._sentences = [
            " ".join(random.choices(WORDS, k=words or random.choice(WORD_QUANTILES)))  # noqa: S311
            for _ in range(2000)
        ]

    def body(self) -> bytes:
        """One more request's body."""
        sentences = random.choices(self._sentences, k=self._texts)  # noqa: S311
        return orjson.dumps({"text": [f"{next(self._numbers)} {sentence}" for sentence in sentences]})


async def ask(connections: Connections, body: bytes, record: Record) -> Answer:
    """Send one request and record it."""
    began = time.perf_counter()
    answer = await connections.post(body)
    record.add(answer, time.perf_counter() - began)
    return answer


async def ask_in_turn(connections: Connections, novelties: Novelties, record: Record, until: float) -> None:
    """A user of a closed loop: sends the next request when the last one is answered; obeys Retry-After."""
    body = novelties.body()
    while time.perf_counter() < until:
        answer = await ask(connections, body, record)
        if answer.retry_after_s:
            await asyncio.sleep(min(answer.retry_after_s, max(0.0, until - time.perf_counter())))
        else:
            body = novelties.body()
        if not answer.status:
            await asyncio.sleep(_PAUSE_S)


async def ask_and_obey(connections: Connections, body: bytes, first: Record, second: Record, until: float) -> None:
    """Send a request; if it is refused, once more after Retry-After, unless that is past the time `until`."""
    answer = await ask(connections, body, first)
    if answer.status == TOO_BUSY and answer.retry_after_s and time.perf_counter() + answer.retry_after_s < until:
        await asyncio.sleep(answer.retry_after_s)
        await ask(connections, body, second)


async def open_loop(rate: float, seconds: float, arrive: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Start a client `rate` times a second, independent of the others; returns when all have ended."""
    async with asyncio.TaskGroup() as clients:
        async for _ in _arrivals(rate, seconds):
            clients.create_task(arrive())


async def _arrivals(rate: float, seconds: float) -> AsyncIterator[None]:
    began = time.perf_counter()
    arrived = 0
    while (now := time.perf_counter() - began) < seconds:
        while arrived < now * rate:
            arrived += 1
            yield
        await asyncio.sleep(_TICK_S)
