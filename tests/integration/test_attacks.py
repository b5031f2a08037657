"""Attacks beside honest users, who use what is cached and bring single new texts, and ask for health."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress

import psutil
import pytest

from benchmarks.abuse.honest import Seen, use
from benchmarks.abuse.hostile import Hostile
from benchmarks.overload.clients import OK, TOO_BUSY
from benchmarks.overload.connections import Answer, Connections
from serve_app.cache.redis_store import PREFIX
from serve_app.prediction import dump, make_prediction, text_key
from serve_app.settings import MINI_MODEL, Settings
from tests.support import attacks
from tests.support.golden import golden
from tests.support.redis_server import RedisServer
from tests.support.replicas import frozen, replicas
from tests.support.service import Service
from tests.support.wait import until

UNCACHED_USERS = 4
WARM_S, ALONE_S, BESIDE_S = 1.0, 3.0, 9.0
LONGEST_RETRY_S = 5
SLACK_MS = 1000.0
"""How much later than the longest wait an answer may come: its own pass, and the passes that began before it."""

HITS_FACTOR, MIN_P99_MS = 3.0, 20.0
"""A hit's p99 when idle counts as no less: what a busy machine does to a few hits in seconds is no finding."""

MAX_GROWTH = 50_000_000
TRIES = 2
LABELS = ("NEGATIVE", "POSITIVE")
BURSTS, LISTS = 2, 8


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, shared_redis: RedisServer) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("attacked")
    service = Service(folder, REPLICAS="1", REDIS_URL=shared_redis.url, SENTIMENT_PRECISION="fp32")
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def users() -> Iterator[ProcessPoolExecutor]:
    """A process for the honest users, whom the attackers must not delay by what they do themselves."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@contextmanager
def growth(process: psutil.Process) -> Iterator[list[int]]:
    """How many bytes more than at first the process has, as seen ten times a second while the block runs."""
    seen, end, before = [0], threading.Event(), process.memory_info().rss

    def watch() -> None:
        while not end.wait(0.1):
            seen.append(process.memory_info().rss - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()


def hardly_noticed(service: Service, users: ProcessPoolExecutor, attack: attacks.Attack) -> None:
    """Attack beside honest users; again if they were only late, since another process may have had the CPUs."""
    (classifier,) = replicas(service, "classifier")

    async def run() -> None:
        connections = Connections(service.port)
        with suppress(TimeoutError):
            async with asyncio.timeout(BESIDE_S):
                await attack(connections, Hostile(service.port))
        connections.close()
        await asyncio.sleep(0)  # or the loop would end before they are closed

    for _ in range(TRIES):
        until(lambda: classifier.cpu_percent(0.5) < 20, "the model rests", 60)
        users.submit(use, service.port, WARM_S, UNCACHED_USERS).result()
        alone = users.submit(use, service.port, ALONE_S, UNCACHED_USERS).result()
        with growth(classifier) as grown:
            using = users.submit(use, service.port, BESIDE_S, UNCACHED_USERS)
            asyncio.run(run())
            seen = using.result()
        assert max(grown) <= MAX_GROWTH
        check(seen)
        hits_ms, first_ms = seen.hits.percentile_ms(99), seen.first.percentile_ms(99)
        hits_limit_ms = HITS_FACTOR * max(MIN_P99_MS, alone.hits.percentile_ms(99))
        first_limit_ms = Settings().max_wait_s * 1000 + SLACK_MS
        if hits_ms <= hits_limit_ms and first_ms <= first_limit_ms:
            return
    pytest.fail(f"p99 of hits {hits_ms:.0f} of {hits_limit_ms:.0f} ms, of new texts {first_ms:.0f} of {first_limit_ms}")


def check(beside: Seen) -> None:
    assert set(beside.health) == {OK}
    assert set(beside.hits.statuses) == {OK}
    assert beside.first.statuses[OK]
    assert set(beside.first.statuses) <= {OK, TOO_BUSY}
    assert not beside.first.without_retry_after
    assert beside.first.max_retry_after_s <= LONGEST_RETRY_S
    assert set(beside.second.statuses) <= {OK}, "whoever comes back at the time that was told is served"


@pytest.mark.parametrize(
    "attack", [attacks.three_dense_lists, attacks.splitting_words, attacks.cheap_bytes_then_a_flood]
)
def test_honest_users_hardly_notice(service: Service, users: ProcessPoolExecutor, attack: attacks.Attack) -> None:
    hardly_noticed(service, users, attack)


def test_bursts_of_long_lists_that_redis_holds_are_answered(
    service: Service, users: ProcessPoolExecutor, shared_redis: RedisServer
) -> None:
    known = [
        [[f"known {burst} {number} {index}" for index in range(attacks.TEXTS)] for number in range(LISTS)]
        for burst in range(BURSTS)
    ]
    value = dump(make_prediction((0.25, 0.75), LABELS, truncated=False))
    fingerprint = golden(MINI_MODEL, []).fingerprint
    pipe = shared_redis.client.pipeline(transaction=False)
    for text in (text for lists in known for texts in lists for text in texts):
        pipe.set(f"{PREFIX}{fingerprint}:{text_key(text).hex()}", value)
    pipe.execute()
    seen: list[tuple[int, int]] = []

    async def bursts(connections: Connections, _: Hostile) -> None:
        seen.clear()
        for lists in known:
            seen.extend((each.status, each.missed) for each in await attacks.at_once(connections, lists))
            await asyncio.sleep(2)

    hardly_noticed(service, users, bursts)
    assert seen == [(OK, 0)] * LISTS * BURSTS


def test_a_refused_megabyte_puts_nobody_off(service: Service) -> None:
    honest = [attacks.body([f"Somebody says this once, {number} {random.random()}."]) for number in range(2)]

    async def run() -> None:
        connections = Connections(service.port)
        with frozen(service):
            filling: list[asyncio.Task[Answer]] = []
            # until it is full, and in a few seconds on any CPU: Serve replaces a replica that stays frozen; each about
            # a pass, so that a megabyte is much more than what is usual
            while not any(each.done() for each in filling):
                lists = [attacks.body(attacks.dense_texts(2)) for _ in range(10)]
                filling += [asyncio.create_task(connections.post(body)) for body in lists]
                await asyncio.wait(filling[-1:], timeout=0.2)
            before = await connections.post(honest[0])
            megabyte = await connections.post(attacks.body(attacks.dense_texts(attacks.TEXTS, 1000)))
            after = await connections.post(honest[1])
            for each in filling:
                each.cancel()
            await asyncio.wait(filling)
        assert [before.status, megabyte.status, after.status] == [TOO_BUSY] * 3
        assert before.retry_after_s
        assert after.retry_after_s
        assert after.retry_after_s <= before.retry_after_s + 1
        connections.close()
        await asyncio.sleep(0)

    asyncio.run(run())
