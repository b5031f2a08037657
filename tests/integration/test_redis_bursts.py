"""Bursts of long lists, all of whose texts a real, idle Redis knows."""

from __future__ import annotations

import asyncio

from serve_app.cache.redis import RedisCache
from serve_app.metrics import Metrics
from serve_app.prediction import dump, make_prediction
from serve_app.settings import Settings
from tests.support.redis_server import RedisServer

LABELS = ("NEGATIVE", "POSITIVE")
FINGERPRINT = "0123456789abcdef"
LISTS, TEXTS = 40, 1000


def keys(number: int) -> list[bytes]:
    return [(number * TEXTS + index).to_bytes(16) for index in range(TEXTS)]


async def test_a_burst_of_long_lists_is_found_and_is_no_failure_of_redis(redis_server: RedisServer) -> None:
    value = dump(make_prediction((0.25, 0.75), LABELS, truncated=False))
    pipe = redis_server.client.pipeline(transaction=False)
    for number in range(LISTS):
        for key in keys(number):
            pipe.set(f"fastapi-cache-project::{FINGERPRINT}:{key.hex()}", value)
    pipe.execute()
    # time for one answer on a machine that has much else to do; the whole burst takes far longer than that
    settings = Settings.model_validate({"redis_url": redis_server.url, "redis_timeout_ms": 200})
    cache = RedisCache(settings, FINGERPRINT, LABELS, Metrics())
    errors: list[object] = []
    cache._metrics.redis_errors.inc = lambda *_, tags=None: errors.append(tags)  # type: ignore[method-assign]
    found = await asyncio.gather(*(cache.get_many(keys(number)) for number in range(LISTS)))
    await cache.close()
    assert [len(each) for each in found] == [TEXTS] * LISTS
    assert not errors
