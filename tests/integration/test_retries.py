"""Callers that are refused and come back when they were told: of one large list, and of many that are too much."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks.overload.clients import OK, TOO_BUSY, Novelties, Record, ask_and_obey, ask_in_turn, open_loop
from benchmarks.overload.connections import Connections
from benchmarks.texts import WORDS
from tests.support.service import Service

TEXTS, CHARACTERS = 1000, 1030
PARTS = 20
MODEL_TIMEOUT_S = 5.0
GO_FOR, DRIFT = 3, 1.25
"""Tries that are always allowed, and how much a machine's speed may change meanwhile."""

KEPT = 0.9
"""Of second tries; a machine that others use too is slower when they are due. `make overload` asks for 0.99."""

TIMES, USERS = 3, 8
PEAK_S, OVERLOAD_S, FIRST_TRIES = 4.0, 12.0, 300
"""The overload lasts until so many have come, so that a slow machine refuses enough of them too."""

_numbers = itertools.count()
Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @contextmanager
    def started(**environment: str) -> Iterator[Service]:
        service = Service(tmp_path, Path(sys.executable), SENTIMENT_PRECISION="fp32", **environment)
        service.start()
        try:
            yield service
        finally:
            service.stop()

    return started


def prose(number: int) -> list[str]:
    """New texts; a thousand of them make a body of 1 MiB, the largest."""
    return [f"{next(_numbers)} {' '.join(random.choices(WORDS, k=400))}"[:CHARACTERS] for _ in range(number)]


def post(service: Service, texts: list[str]) -> httpx.Response:
    return httpx.post(f"{service.url}/project/predict", json={"text": texts}, timeout=60)


def test_the_largest_request_of_prose_is_answered_after_as_many_tries_as_its_work_has_time_outs(start: Start) -> None:
    with start(REPLICAS="1", SENTIMENT_MODEL_TIMEOUT_S=str(MODEL_TIMEOUT_S)) as service:
        work_s = max(seconds_of_work(service) for _ in range(3))  # whose answers also teach the service its rate
        texts, tries = prose(TEXTS), 1
        while (answer := post(service, texts)).status_code == TOO_BUSY:
            tries += 1
            time.sleep(int(answer.headers["Retry-After"]))
        work_s = max(work_s, seconds_of_work(service))
    assert answer.status_code == OK
    assert len(answer.json()["predictions"]) == TEXTS
    assert tries <= max(GO_FOR, math.ceil(DRIFT * work_s / MODEL_TIMEOUT_S))


def seconds_of_work(service: Service) -> float:
    """What the largest request takes, by a part of one."""
    began = time.monotonic()
    assert post(service, prose(TEXTS // PARTS)).status_code == OK
    return PARTS * (time.monotonic() - began)


def test_second_tries_are_served_by_whichever_of_two_ingress_replicas(start: Start) -> None:
    first, second, novelties = Record(), Record(), Novelties(40)

    async def run(service: Service) -> None:
        connections, peak = Connections(service.port), Record()
        until = time.perf_counter() + PEAK_S
        await asyncio.gather(*(ask_in_turn(connections, novelties, peak, until) for _ in range(USERS)))
        rate = TIMES * peak.statuses[OK] / PEAK_S
        overload_s = max(OVERLOAD_S, FIRST_TRIES / rate)
        end = time.perf_counter() + TIMES * overload_s  # when all the work can be done
        await open_loop(rate, overload_s, lambda: ask_and_obey(connections, novelties.body(), first, second, end))
        connections.close()
        await asyncio.sleep(0)

    with start(REPLICAS="2") as service:
        asyncio.run(run(service))
    assert set(first.statuses) == {OK, TOO_BUSY}
    assert second.statuses.total() > 100
    assert second.statuses[OK] >= KEPT * second.statuses.total()
