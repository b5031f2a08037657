"""The Redis tier while the model changes, and what keeps texts alive there that memory answers."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
import time
from pathlib import Path

import pytest

from serve_app.cache.redis import RedisCache
from serve_app.metrics import Metrics
from serve_app.prediction import make_prediction, text_key
from serve_app.settings import Settings
from tests.support.certificates import KEY_PASSWORD, self_signed
from tests.support.fakes import IDENTITY
from tests.support.ingress_parts import Make
from tests.support.redis_server import RedisServer
from tests.support.resp_server import RespServer
from tests.support.tcp_proxy import TcpProxy
from tests.support.wait import until_async

NEW = dataclasses.replace(IDENTITY, fingerprint="fedcba9876543210")
HITS = 3000


def name(text: str) -> str:
    return f"fastapi-cache-project::{IDENTITY.fingerprint}:{text_key(text).hex()}"


@pytest.mark.parametrize("tls", [False, True])
async def test_the_request_that_meets_a_new_model_waits_for_no_redis_that_hangs(
    replica: Make, redis_server: RedisServer, tmp_path: Path, *, tls: bool
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*self_signed(tmp_path), KEY_PASSWORD)
    async with RespServer(lambda _: None, redis_server.port).running(context if tls else None) as server:
        hole = TcpProxy(server.port)
        hole.start()
        scheme, options = ("rediss", "?ssl_cert_reqs=none") if tls else ("redis", "")
        mine = replica(redis_url=f"{scheme}://127.0.0.1:{hole.port}/0{options}", redis_probe_s=60, redis_max_failures=9)
        await mine.hit("known")
        await until_async(redis_server.names, "it is in Redis")
        hole.swallow = True
        await mine.hit("on its way to Redis, which hangs")
        mine.model.answers_as = NEW
        for text in ("new", "new, too"):
            began = time.perf_counter()
            outcome = await mine.predictor.predict([text])
            assert (outcome.identity, outcome.miss) == (NEW, 1)
            assert time.perf_counter() - began < 0.5
        hole.stop()


async def test_the_answers_of_two_models_are_asked_for_in_one_mget(replica: Make, redis_server: RedisServer) -> None:
    reads: list[list[bytes]] = []

    def note(words: list[bytes]) -> None:
        if words[0] == b"MGET":
            reads.append(words[1:])

    async with RespServer(note, redis_server.port).running() as proxy:
        mine = replica(redis_url=f"127.0.0.1:{proxy.port}", redis_timeout_ms=1000)
        await mine.predictor.predict(["by the first"])
        mine.model.answers_as = NEW
        await mine.predictor.predict(["by the second"])
        await until_async(lambda: len(redis_server.names()) == 2, "both are in Redis")
        fresh = replica(redis_url=f"127.0.0.1:{proxy.port}", redis_timeout_ms=1000)
        fresh.predictor.saw(IDENTITY, time.monotonic())
        fresh.predictor.saw(NEW, time.monotonic())
        reads.clear()
        for text, model in (("by the first", IDENTITY), ("by the second", NEW)):
            outcome = await fresh.predictor.predict([text])
            assert (outcome.identity, outcome.hit) == (model, 1)
        assert [len(each) for each in reads] == [2, 2]
        assert fresh.model.calls == []


async def test_texts_in_use_live_longer_in_redis_and_come_back_after_flushall(
    replica: Make, redis_server: RedisServer
) -> None:
    mine = replica(redis_url=redis_server.url, cache_ttl_s=1000)
    await mine.hit("a")
    await until_async(redis_server.names, "it is in Redis")
    redis_server.client.expire(name("a"), 100)
    for _ in range(HITS):
        await mine.hit("a")
    await until_async(lambda: redis_server.client.ttl(name("a")) > 100, "its time begins anew")
    redis_server.client.flushall()
    for _ in range(HITS):
        await mine.hit("a")
    await until_async(redis_server.names, "it is there again")


async def test_ten_thousand_writes_hold_the_loop_for_no_long_stretch(redis_server: RedisServer) -> None:
    cache = RedisCache(Settings.model_validate({"redis_url": redis_server.url}), "f" * 16, ("N", "P"), Metrics())
    prediction = make_prediction((0.25, 0.75), ("N", "P"), truncated=False)
    cache.put_in_background({text_key(str(number)): prediction for number in range(10_000)})
    closing = asyncio.create_task(cache.close())  # which writes what is queued
    longest = 0.0
    while not closing.done():
        began = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)
    assert redis_server.client.dbsize() == 10_000
    assert longest < 0.04
