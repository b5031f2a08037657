"""Keyed hashes on values in Redis."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from serve_app.cache.redis import RedisCache
from serve_app.cache.seal import Seal
from serve_app.metrics import Metrics
from serve_app.prediction import BadValue
from serve_app.settings import Settings
from tests.support.resp_server import OK, RespServer

VALUE = b"[0.25,0.75,false]"
SEAL = Seal("a secret of the service")


def test_what_is_put_is_what_was_given() -> None:
    stored = SEAL.put("a", VALUE)
    assert stored.endswith(VALUE)
    assert SEAL.check("a", stored) == VALUE


def test_without_a_secret_values_are_as_they_are() -> None:
    assert Seal("").put("a", VALUE) == VALUE
    assert Seal("").check("a", VALUE) == VALUE


@pytest.mark.parametrize(
    "stored",
    [
        VALUE,
        b"",
        SEAL.put("a", VALUE)[:-1],
        SEAL.put("b", VALUE),
        SEAL.put("", b"a\0" + VALUE),
        Seal("another secret").put("a", VALUE),
        SEAL.put("a", VALUE).replace(b"0.25", b"0.26"),
    ],
    ids=["unsigned", "empty", "cut", "of another key", "shifted", "of another secret", "changed"],
)
def test_anything_else_is_no_value(stored: bytes) -> None:
    with pytest.raises(BadValue):
        SEAL.check("a", stored)


@pytest.mark.parametrize("seal", [SEAL, Seal("")], ids=["with a secret", "without"])
@pytest.mark.parametrize("stored", [5, [VALUE], ResponseError("upstream failure")])
def test_what_is_no_string_is_no_value(seal: Seal, stored: object) -> None:
    with pytest.raises(BadValue):
        seal.check("a", stored)


async def test_an_error_that_a_proxy_answers_for_one_key_fails_no_read() -> None:
    def answer(words: list[bytes]) -> bytes:
        return b"*2\r\n-upstream failure\r\n$-1\r\n" if words[0].upper() == b"MGET" else OK

    async with RespServer(answer).running() as proxy:
        arguments = {"redis_url": f"127.0.0.1:{proxy.port}", "redis_value_key": "0" * 32, "redis_timeout_ms": 1000}
        cache = RedisCache(Settings.model_validate(arguments), "f" * 16, ("N", "P"), Metrics())
        assert await cache.get_many([b"a", b"b"]) == {}
        await cache.close()
    assert b"MGET" in proxy.commands
