"""The Redis tier closes in bounded time while Redis hangs, and leaves no read waiting and no connection open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from serve_app.cache import redis_store
from serve_app.cache.redis_store import RedisStore
from serve_app.metrics import Metrics
from serve_app.settings import Settings
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy
from tests.support.wait import until_async


@pytest.fixture
def hole(redis_server: RedisServer) -> Iterator[TcpProxy]:
    """A proxy in front of Redis that may swallow what it is sent."""
    proxy = TcpProxy(redis_server.port)
    proxy.start()
    yield proxy
    proxy.stop()


def open_store(hole: TcpProxy) -> RedisStore:
    return RedisStore(Settings.model_validate({"redis_url": f"127.0.0.1:{hole.port}"}), Metrics())


async def test_many_queued_writes_together_have_one_time_limit(hole: TcpProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "WRITE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(redis_store, "CLOSE_TIMEOUT_S", 0.4, raising=False)
    store = open_store(hole)
    await store.read(["a"])
    hole.swallow = True
    store.write_in_background(dict.fromkeys(map(str, range(5000)), b"value"))
    began = time.monotonic()
    await store.close()
    assert time.monotonic() - began < 1.5, "twenty rounds of writes"


async def test_reads_that_wait_for_a_connection_end(
    hole: TcpProxy, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "CONNECT_TIMEOUT_S", 0.3)
    redis_server.client.config_set("requirepass", "right")
    hole.swallow = True  # so that AUTH has no answer
    settings = {"redis_url": f"127.0.0.1:{hole.port}", "redis_password": "right", "redis_timeout_ms": 1000}
    store = RedisStore(Settings.model_validate(settings), Metrics())
    reads = [asyncio.create_task(store.read(["a"]))]
    await until_async(lambda: store._connecting is not None, "it connects")
    reads += [asyncio.create_task(store.read(["b"])) for _ in range(2)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.wait_for(asyncio.gather(*reads), 5) == [{}] * 3
    await until_async(lambda: len(redis_server.client.client_list()) == 1, "only the test itself is connected")
