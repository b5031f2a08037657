"""The cache through the running service: hit, partial hit, miss, wrong value, Redis down and back."""

from __future__ import annotations

import itertools

import httpx
import pytest

from serve_app.prediction import text_key
from tests.support.redis_server import RedisServer
from tests.support.wait import until

_numbers = itertools.count()


def fresh(count: int = 1) -> list[str]:
    return [f"a text that was never seen before, number {next(_numbers)}" for _ in range(count)]


def ask(client: httpx.Client, texts: list[str]) -> httpx.Response:
    response = client.post("/project/predict", json={"text": texts})
    assert response.status_code == 200
    assert len(response.json()["predictions"]) == len(texts)
    return response


def until_redis_is_used(client: httpx.Client, server: RedisServer) -> None:
    """Wait until the breaker has closed again, also so that no other test meets an open one."""
    asked: list[str] = []

    def written() -> bool:
        # a write from before may still arrive, so only what is asked now counts
        asked.extend(fresh())
        ask(client, asked[-1:])
        names = server.names()
        return any(redis_name(client, text) in names for text in asked)

    until(written, "answers are written to the Redis that is back")


def redis_name(client: httpx.Client, text: str) -> str:
    return f"fastapi-cache-project::{client.get('/project/model').json()['fingerprint']}:{text_key(text).hex()}"


def test_miss_partial_hit_and_hit(client: httpx.Client) -> None:
    old, new = fresh(3), fresh(2)
    assert ask(client, old).headers["x-cache"] == "hit=0,miss=3,coalesced=0"
    assert ask(client, [new[0], *old, new[1]]).headers["x-cache"] == "hit=3,miss=2,coalesced=0"
    assert ask(client, [*new, *old]).headers["x-cache"] == "hit=5,miss=0,coalesced=0"


def test_ten_texts_in_any_order_are_hits(client: httpx.Client) -> None:
    texts = fresh(10)
    ask(client, texts)
    for turn in range(1, 10):
        assert ask(client, texts[turn:] + texts[:turn]).headers["x-cache"] == "hit=10,miss=0,coalesced=0"


def test_redis_holds_one_entry_a_text_and_no_text(client: httpx.Client, shared_redis: RedisServer) -> None:
    shared_redis.client.flushall()
    texts = fresh(4)
    ask(client, texts)
    until(lambda: set(shared_redis.names()) >= {redis_name(client, text) for text in texts}, "all four are written")
    dump = "".join(str(shared_redis.client.get(name)) for name in shared_redis.names())
    assert "never seen" not in dump + "".join(shared_redis.names())
    assert all(0 < shared_redis.client.ttl(name) <= 86400 for name in shared_redis.names())


def test_what_redis_knows_is_a_hit(client: httpx.Client, shared_redis: RedisServer) -> None:
    (text,) = fresh()
    shared_redis.client.set(redis_name(client, text), b"[0.875,0.125,false]")
    response = ask(client, [text])
    assert response.headers["x-cache"] == "hit=1,miss=0,coalesced=0"
    assert response.json()["predictions"][0][0] == {"label": "NEGATIVE", "score": 0.875}


@pytest.mark.parametrize("value", [b"garbage", b"[2.0,-1.0,false]", b"\x80\x04\x95", b"[0.5,0.5]"])
def test_a_wrong_value_is_a_miss_and_is_rewritten(
    client: httpx.Client, shared_redis: RedisServer, value: bytes
) -> None:
    (text,) = fresh()
    name = redis_name(client, text)
    shared_redis.client.set(name, value)
    assert ask(client, [text]).headers["x-cache"] == "hit=0,miss=1,coalesced=0"
    until(lambda: shared_redis.client.get(name) != value, "the value is rewritten")


def test_killing_redis_in_a_loop_of_requests_fails_none(client: httpx.Client, shared_redis: RedisServer) -> None:
    known = fresh(5)
    ask(client, known)
    for turn in range(60):
        if turn == 20:
            shared_redis.stop()
        if turn == 40:
            shared_redis.start()
        ask(client, [*known, *fresh()])
    until_redis_is_used(client, shared_redis)


def test_a_frozen_redis_fails_none_and_holds_up_none(client: httpx.Client, shared_redis: RedisServer) -> None:
    shared_redis.freeze()
    try:
        slowest = max(ask(client, fresh()).elapsed.total_seconds() for _ in range(30))
    finally:
        shared_redis.thaw()
    assert slowest < 1
    until_redis_is_used(client, shared_redis)
