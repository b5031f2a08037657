"""Generated bodies at the real port: exactly 200 or 422, as another JSON parser says, never anything else or late."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.service import Service

ONE_SERVICE = settings(deadline=None, suppress_health_check=list(HealthCheck))

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text() | st.just("text"), inner, max_size=4)
)
good = st.lists(st.text(max_size=200), max_size=8).map(lambda texts: json.dumps({"text": texts}).encode())


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good body with a few places cut, doubled, swapped or overwritten."""
    body = bytearray(draw(good))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        stop = draw(st.integers(start, min(len(body), start + 6)))
        body[start:stop] = draw(
            st.sampled_from([b"", body[start:stop] * 2, body[start:stop][::-1]]) | st.binary(max_size=4)
        )
    return bytes(body)


def is_request(body: bytes) -> bool:
    """Whether the body is JSON with the one field that there is, a list of strings."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    texts = value.get("text") if isinstance(value, dict) and value.keys() == {"text"} else None
    return isinstance(texts, list) and all(isinstance(text, str) for text in texts)


@pytest.fixture(scope="module")
def connection(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client
        assert client.post("/project/predict", json={"text": ["I love you."]}).status_code == 200


def check(client: httpx.Client, body: bytes, deadline_s: float) -> None:
    response = client.post("/project/predict", content=body)
    assert response.elapsed.total_seconds() < deadline_s
    if is_request(body):
        assert response.status_code == 200
        assert len(response.json()["predictions"]) == len(orjson.loads(body)["text"])
    else:
        assert response.status_code == 422
        assert all(set(entry) == {"type", "loc", "msg"} for entry in response.json()["detail"])


@ONE_SERVICE
@given(body=st.binary(max_size=500))
def test_bytes(connection: httpx.Client, deadline_s: float, body: bytes) -> None:
    check(connection, body, deadline_s)


@ONE_SERVICE
@given(value=values)
def test_json(connection: httpx.Client, deadline_s: float, value: object) -> None:
    check(connection, json.dumps(value).encode(), deadline_s)


@ONE_SERVICE
@given(value=st.fixed_dictionaries({"text": values | st.lists(st.text() | values, max_size=8)}))
def test_json_under_text(connection: httpx.Client, deadline_s: float, value: object) -> None:
    check(connection, json.dumps(value).encode(), deadline_s)


@ONE_SERVICE
@given(body=mutated())
def test_good_bodies_with_a_few_bytes_changed(connection: httpx.Client, deadline_s: float, body: bytes) -> None:
    check(connection, body, deadline_s)


@ONE_SERVICE
@given(body=good)
def test_good_bodies(connection: httpx.Client, deadline_s: float, body: bytes) -> None:
    check(connection, body, deadline_s)
