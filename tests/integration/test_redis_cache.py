"""The Redis tier against a real server that is stopped, frozen, filled, flushed and spoiled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from statistics import median

import pytest
import pytest_asyncio

from serve_app.cache.redis import RedisCache
from serve_app.metrics import Metrics
from serve_app.prediction import Prediction, dump, make_prediction, text_key
from serve_app.settings import Settings
from tests.support.redis_server import RedisServer
from tests.support.wait import until_async

LABELS = ("NEGATIVE", "POSITIVE")
FINGERPRINT = "0123456789abcdef"
A = text_key("a")
B = text_key("b")
PREDICTION = make_prediction((0.25, 0.75), LABELS, truncated=False)
OTHER = make_prediction((0.75, 0.25), LABELS, truncated=False)
Open = Callable[..., RedisCache]


@pytest_asyncio.fixture
async def open_cache(redis_server: RedisServer) -> AsyncIterator[Open]:
    opened: list[RedisCache] = []

    def make(fingerprint: str = FINGERPRINT, **settings: object) -> RedisCache:
        arguments = {"redis_url": redis_server.url, "redis_probe_s": 0.05, **settings}
        opened.append(RedisCache(Settings.model_validate(arguments), fingerprint, LABELS, Metrics()))
        return opened[-1]

    yield make
    for cache in opened:
        await cache.close()


def name(key: bytes, fingerprint: str = FINGERPRINT) -> str:
    return f"fastapi-cache-project::{fingerprint}:{key.hex()}"


async def written(server: RedisServer, number: int) -> None:
    await until_async(lambda: len(server.names()) == number, f"{number} keys are in Redis")


async def timed(cache: RedisCache, *keys: bytes) -> tuple[dict[bytes, Prediction], float]:
    began = time.perf_counter()
    found = await cache.get_many(keys)
    return found, time.perf_counter() - began


async def test_what_is_put_is_found_under_the_contracts_key(open_cache: Open, redis_server: RedisServer) -> None:
    cache = open_cache()
    assert await cache.get_many([A]) == {}
    cache.put_in_background({A: PREDICTION})
    await written(redis_server, 1)
    assert redis_server.names() == [name(A)]
    assert await cache.get_many([B, A]) == {A: PREDICTION}


async def test_another_model_finds_nothing(open_cache: Open, redis_server: RedisServer) -> None:
    open_cache().put_in_background({A: PREDICTION})
    await written(redis_server, 1)
    assert await open_cache("another").get_many([A]) == {}


async def test_an_answer_lives_for_its_time_less_some_jitter(open_cache: Open, redis_server: RedisServer) -> None:
    open_cache(cache_ttl_s=1000, cache_ttl_jitter=0.2).put_in_background(
        {text_key(str(n)): PREDICTION for n in range(50)}
    )
    await written(redis_server, 50)
    lives = {redis_server.client.ttl(key) for key in redis_server.names()}
    assert min(lives) >= 790
    assert max(lives) <= 1000
    assert len(lives) > 10


@pytest.mark.parametrize(
    "garbage", [b"", b"nonsense", b"\x80\x04pickle", b"[7,8,true]", b"[0.1,0.2,false]", b"x" * 10**6]
)
async def test_garbage_is_a_miss_and_is_rewritten(open_cache: Open, redis_server: RedisServer, garbage: bytes) -> None:
    redis_server.client.set(name(A), garbage)
    redis_server.client.lpush(name(B), "a list, not a string")
    cache = open_cache()
    assert await cache.get_many([A, B]) == {}
    cache.put_in_background({A: PREDICTION, B: PREDICTION})
    await until_async(lambda: redis_server.client.type(name(B)) == b"string", "the list was replaced")
    assert await cache.get_many([A, B]) == {A: PREDICTION, B: PREDICTION}


async def test_with_a_value_key_only_values_that_carry_its_hash_are_answers(
    open_cache: Open, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = open_cache(redis_value_key="a secret of the service")
    counted: list[None] = []
    monkeypatch.setattr(signed._metrics.bad_values, "inc", lambda: counted.append(None))
    signed.put_in_background({A: PREDICTION})
    await written(redis_server, 1)
    assert await signed.get_many([A]) == {A: PREDICTION}
    stored = redis_server.client.get(name(A))
    assert isinstance(stored, bytes)
    forged = [stored[32:], dump(OTHER), stored[:32] + dump(OTHER)]
    for value in forged:
        redis_server.client.set(name(A), value)
        assert await signed.get_many([A]) == {}, value
    redis_server.client.set(name(B), stored)
    assert await signed.get_many([B]) == {}, "a value may not be moved to another text"
    assert len(counted) == len(forged) + 1
    assert await open_cache(redis_value_key="another secret of it").get_many([A]) == {}
    signed.put_in_background({A: PREDICTION, B: OTHER})
    await until_async(lambda: redis_server.client.get(name(A)) == stored, "the forged value was replaced")
    assert await signed.get_many([A, B]) == {A: PREDICTION, B: OTHER}


async def test_a_stopped_redis_costs_nothing_and_is_used_again_when_it_is_back(
    open_cache: Open, redis_server: RedisServer
) -> None:
    cache = open_cache()
    cache.put_in_background({A: PREDICTION})
    await written(redis_server, 1)
    redis_server.stop()
    waits = []
    for _ in range(20):
        found, seconds = await timed(cache, A)
        assert found == {}
        waits.append(seconds)
        cache.put_in_background({B: PREDICTION})
    assert median(waits) < 0.05
    redis_server.start()

    def written_again() -> bool:
        cache.put_in_background({A: PREDICTION})
        return name(A) in redis_server.names()

    await until_async(written_again, "the cache writes again")
    assert await cache.get_many([A]) == {A: PREDICTION}


async def test_a_frozen_redis_delays_a_few_requests_by_50_ms_and_then_none(
    open_cache: Open, redis_server: RedisServer
) -> None:
    cache = open_cache(redis_probe_s=30)
    await cache.get_many([A])
    redis_server.freeze()
    waits = [(await timed(cache, A))[1] for _ in range(10)]
    redis_server.thaw()
    assert min(waits[:3]) > 0.04
    assert median(waits[:3]) < 0.15
    assert median(waits[3:]) < 0.04, "three failures open the breaker"


async def test_an_answer_that_came_too_late_is_nobody_elses(open_cache: Open, redis_server: RedisServer) -> None:
    cache = open_cache(redis_max_failures=100)
    cache.put_in_background({A: PREDICTION})
    await written(redis_server, 1)
    redis_server.freeze()
    assert await asyncio.gather(*(cache.get_many([A]) for _ in range(5))) == [{}] * 5
    redis_server.thaw()
    assert await cache.get_many([B]) == {}
    assert await cache.get_many([A]) == {A: PREDICTION}


async def test_a_full_redis_still_answers_what_it_has(open_cache: Open, redis_server: RedisServer) -> None:
    cache = open_cache()
    cache.put_in_background({A: PREDICTION})
    await written(redis_server, 1)
    redis_server.client.config_set("maxmemory", "1mb")
    redis_server.client.config_set("maxmemory-policy", "noeviction")
    redis_server.client.config_set("maxmemory", "1")
    for _ in range(5):
        cache.put_in_background({B: PREDICTION})
        await asyncio.sleep(0.11)
        assert await cache.get_many([A, B]) == {A: PREDICTION}


async def test_a_wrong_password_is_a_miss(open_cache: Open, redis_server: RedisServer) -> None:
    redis_server.client.config_set("requirepass", "right")
    cache = open_cache(redis_url=f"redis://:wrong@127.0.0.1:{redis_server.port}/0")
    waits = []
    for _ in range(5):
        found, seconds = await timed(cache, A)
        assert found == {}
        waits.append(seconds)
        cache.put_in_background({A: PREDICTION})
    assert median(waits) < 0.15


def count_drops(cache: RedisCache, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    drops: list[int] = []
    monkeypatch.setattr(cache._metrics.dropped_writes, "inc", drops.append)
    return drops


async def test_answers_that_a_hanging_redis_did_not_take_are_counted(
    open_cache: Open, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = open_cache(redis_max_failures=1, redis_probe_s=60)
    drops = count_drops(cache, monkeypatch)
    await cache.get_many([A])
    redis_server.freeze()
    cache.put_in_background({text_key(str(number)): PREDICTION for number in range(500)})
    await asyncio.sleep(0)  # the writer has begun
    cache.put_in_background({A: PREDICTION})
    await until_async(lambda: sum(drops) == 501, "all are counted")
    redis_server.thaw()


async def test_answers_that_a_full_redis_refused_are_counted(
    open_cache: Open, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_server.client.config_set("maxmemory-policy", "noeviction")
    redis_server.client.config_set("maxmemory", "1")
    cache = open_cache()
    drops = count_drops(cache, monkeypatch)
    cache.put_in_background({A: PREDICTION, B: PREDICTION})
    await until_async(lambda: sum(drops) == 2, "both are counted")


async def test_after_close_nothing_is_opened_again(
    open_cache: Open, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = open_cache()
    drops = count_drops(cache, monkeypatch)
    reads = [asyncio.create_task(cache.get_many([A])) for _ in range(3)]
    await cache.close()
    cache.put_in_background({A: PREDICTION})
    assert await asyncio.gather(*reads, cache.get_many([A])) == [{}] * 4
    assert drops == [1]
    await until_async(lambda: len(redis_server.client.client_list()) == 1, "only the test itself is connected")


async def test_close_writes_what_is_queued(open_cache: Open, redis_server: RedisServer) -> None:
    cache = open_cache()
    cache.put_in_background({A: PREDICTION})
    await cache.close()
    assert redis_server.names() == [name(A)]


async def test_a_read_that_is_late_because_the_loop_was_held_is_no_failure_of_redis(
    open_cache: Open, redis_server: RedisServer
) -> None:
    cache = open_cache(redis_max_failures=2)
    cache.put_in_background({A: PREDICTION})
    await written(redis_server, 1)
    for _ in range(6):
        reading = asyncio.create_task(cache.get_many([A]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the command is on its way
        time.sleep(0.08)  # noqa: ASYNC251  (what holds the loop)
        assert await reading == {A: PREDICTION}
    assert not cache._breaker.open


async def test_a_frozen_redis_fails_though_the_loop_is_held(open_cache: Open, redis_server: RedisServer) -> None:
    cache = open_cache(redis_max_failures=2, redis_probe_s=5)
    assert await cache.get_many([A]) == {}
    redis_server.freeze()
    try:
        for _ in range(2):
            reading = asyncio.create_task(cache.get_many([A]))
            await asyncio.sleep(0)
            time.sleep(0.08)  # noqa: ASYNC251  (what holds the loop)
            assert await reading == {}
        assert cache._breaker.open
    finally:
        redis_server.thaw()
