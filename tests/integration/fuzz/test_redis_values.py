"""Generated values where the service keeps its answers in Redis: what is no answer is computed anew, never served."""

from __future__ import annotations

import itertools

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.cache.redis_store import PREFIX
from serve_app.prediction import BadValue, load, text_key
from tests.support.redis_server import RedisServer

LABELS = ("NEGATIVE", "POSITIVE")
NUMBERS = itertools.count()

near = st.tuples(
    st.sampled_from([b"", b"[", b"[["]),
    st.lists(st.sampled_from([b"0.5", b"0.25", b"0.75", b"1.5", b"-0.5", b"NaN", b"1", b"null", b"true", b"false"])),
    st.sampled_from([b"", b"]", b"]]", b"]x"]),
).map(lambda parts: parts[0] + b",".join(parts[1]) + parts[2])


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(value=st.binary(max_size=200) | near)
def test_any_value(client: httpx.Client, shared_redis: RedisServer, value: bytes) -> None:
    fingerprint = client.get("/project/model").json()["fingerprint"]
    text = f"a value of any kind, {next(NUMBERS)}"
    shared_redis.client.set(f"{PREFIX}{fingerprint}:{text_key(text).hex()}", value)
    response = client.post("/project/predict", json={"text": [text]})
    assert response.status_code == 200
    try:
        planted = load(value, LABELS)
    except BadValue:
        assert response.headers["x-cache"] == "hit=0,miss=1,coalesced=0"
        assert sum(entry["score"] for entry in response.json()["predictions"][0]) == pytest.approx(1)
    else:
        assert response.headers["x-cache"] == "hit=1,miss=0,coalesced=0"
        assert {entry["score"] for entry in response.json()["predictions"][0]} == set(planted.scores)
