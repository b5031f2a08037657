"""Keys, other origins and security headers over ASGI, on both roads to a prediction."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from serve_app.local.check import check
from serve_app.local.ports import free_port
from serve_app.metrics import Metrics
from serve_app.settings import Settings
from serve_app.web.api_keys import ApiKeys, BadKeysFile, read_keys
from serve_app.web.guard import guarded
from tests.support.fakes import FakeModel
from tests.unit.web.test_api import connect, make_apps

FIRST = "the-first-key-0001"
SECOND = "the-second-key-002"
ROADS = ("fastapi", "short path")
TEXT = {"text": ["a"]}


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(f"# for the tests\n\n{FIRST}\n  {SECOND}  \n")
    return file


def connect_guarded(road: str, settings: Settings, model: FakeModel | None = None) -> httpx.AsyncClient:
    apps = make_apps(model or FakeModel(), settings)
    return connect(guarded(apps[road], settings, Metrics()))


@pytest.mark.parametrize("road", ROADS)
async def test_each_key_is_good_in_each_header_and_nothing_else_is(road: str, keys_file: Path) -> None:
    model = FakeModel()
    async with connect_guarded(road, Settings(api_keys_file=keys_file), model) as client:
        bad: list[dict[str, str]] = [
            {},
            {"x-api-key": ""},
            {"x-api-key": FIRST[:-1]},
            {"x-api-key": "# for the tests"},
            {"authorization": FIRST},
            {"authorization": f"Basic {FIRST}"},
        ]
        for headers in bad:
            response = await client.post("/project/predict", json=TEXT, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json()["detail"][0]["type"] == "unauthorized"
        assert model.calls == []
        for key in (FIRST, SECOND):
            for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}, {"authorization": f"bearer {key}"}):
                assert (await client.post("/project/predict", json=TEXT, headers=headers)).status_code == 200


async def test_the_body_is_not_read_without_a_key(keys_file: Path) -> None:
    async def body() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    async with connect_guarded("short path", Settings(api_keys_file=keys_file)) as client:
        assert (await client.post("/project/predict", content=body())).status_code == 401


@pytest.mark.parametrize(("exempt", "opened"), [("health,docs", 2), ("health", 1), ("docs", 1), ("none", 0)])
async def test_health_and_docs_choose(keys_file: Path, exempt: str, opened: int) -> None:
    settings = Settings(api_keys_file=keys_file, api_keys_exempt=exempt)
    async with connect_guarded("short path", settings) as client:
        docs = ["/project/docs", "/project/docs/static/swagger-ui.css", "/project/openapi.json", "/project/"]
        for path in docs:
            assert (await client.get(path)).status_code == (200 if "docs" in exempt else 401), path
        assert (await client.get("/project/health")).status_code == (503 if "health" in exempt else 401)
        for path in ("/project/model", "/project/docsx", "/project/healthy", "/"):
            assert (await client.get(path)).status_code == 401
        assert opened == sum(word in exempt for word in ("health", "docs"))


def test_a_changed_file_counts_without_a_restart_and_a_bad_one_does_not(
    keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("serve_app.web.api_keys.time.monotonic", lambda: now)
    keys = ApiKeys(keys_file)
    assert keys.accept(FIRST.encode())
    keys_file.write_text(f"{SECOND}\n")
    now += 2
    assert [keys.accept(key.encode()) for key in (FIRST, SECOND)] == [False, True]
    keys_file.write_text("short\n")
    now += 2
    assert [keys.accept(key.encode()) for key in ("short", SECOND)] == [False, True]
    keys_file.unlink()
    now += 2
    assert keys.accept(SECOND.encode())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "has no key"),
        (b"# nothing\n", "has no key"),
        (b"short\n", "line 1 of"),
        (b"two words in one line\n", "line 1 of"),
        ("schlüssel-mit-umlaut".encode(), "not ASCII"),
    ],
)
def test_a_file_without_good_keys_refuses_to_start_and_is_not_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, complaint: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(BadKeysFile, match=complaint):
        read_keys(file)
    monkeypatch.setenv("SENTIMENT_API_KEYS_FILE", os.fspath(file))
    (line,) = check(free_port())
    assert complaint in line
    assert not content.strip() or content.decode().strip() not in line


async def test_openapi_mentions_keys_only_if_they_are_required(keys_file: Path) -> None:
    async with connect_guarded("fastapi", Settings()) as client:
        assert "securitySchemes" not in (await client.get("/project/openapi.json")).json()["components"]
    async with connect_guarded("fastapi", Settings(api_keys_file=keys_file)) as client:
        document = (await client.get("/project/openapi.json")).json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
    assert document["security"] == [{"bearer": []}, {"header": []}]
    assert "401" in document["paths"]["/project/predict"]["post"]["responses"]
    assert document["paths"]["/project/health"]["get"]["security"] == []


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer eyJhbGciOi.x.y"), ("x-api-key", FIRST)],
        [("x-api-key", FIRST), ("authorization", "Bearer eyJhbGciOi.x.y")],
        [("x-api-key", "a gateway's own"), ("authorization", f"Bearer {FIRST}")],
        [("x-api-key", "another one"), ("x-api-key", SECOND)],
        [("authorization", "Basic dXNlcjpwdw=="), ("authorization", f"Bearer {SECOND}")],
    ],
)
async def test_a_good_key_lets_in_beside_a_foreign_one(
    road: str, headers: list[tuple[str, str]], keys_file: Path
) -> None:
    async with connect_guarded(road, Settings(api_keys_file=keys_file)) as client:
        assert (await client.post("/project/predict", json=TEXT, headers=headers)).status_code == 200
        bad = [(name, value.replace(FIRST, "bad").replace(SECOND, "bad")) for name, value in headers]
        assert (await client.post("/project/predict", json=TEXT, headers=bad)).status_code == 401


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize(
    "asked", ["traceparent", "tracestate", "baggage,content-type,sentry-trace", "x-tenant", "content-type,x-b3-traceid"]
)
async def test_a_page_may_send_the_headers_of_tracing_and_those_that_are_named(road: str, asked: str) -> None:
    origin = {"origin": "https://a.example", "access-control-request-method": "POST"}
    settings = Settings(cors_origins="https://a.example", cors_headers="X-Tenant,X-B3-TraceId")
    async with connect_guarded(road, settings) as client:
        allowed = await client.options("/project/predict", headers={**origin, "access-control-request-headers": asked})
        assert allowed.status_code == 200
        others = await client.options("/project/predict", headers={**origin, "access-control-request-headers": "x-odd"})
        assert others.status_code == 400


@pytest.mark.parametrize("road", ROADS)
async def test_other_origins_may_ask_only_where_they_are_named(road: str, keys_file: Path) -> None:
    origin = {"origin": "https://a.example"}
    asks = origin | {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    async with connect_guarded(road, Settings()) as client:
        response = await client.post("/project/predict", json=TEXT, headers=origin)
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert (await client.options("/project/predict", headers=asks)).status_code == 405
    settings = Settings(api_keys_file=keys_file, cors_origins="https://A.example,https://b.example")
    async with connect_guarded(road, settings) as client:
        assert (await client.options("/project/predict", headers=asks)).status_code == 200
        response = await client.post("/project/predict", json=TEXT, headers=origin)
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (401, "https://a.example")
        refused = await client.options("/project/predict", headers=asks | {"origin": "https://c.example"})
        assert refused.status_code == 400
        assert refused.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("road", ROADS)
async def test_every_answer_has_its_security_headers_once(road: str) -> None:
    async with connect_guarded(road, Settings()) as client:
        answers = [await client.post("/project/predict", content=body) for body in (b'{"text": ["a"]}', b"{}")]
        assert [answer.headers["cache-control"] for answer in answers] == ["no-store", "no-store"]
        paths = ("", "/", "/docs", "/openapi.json", "/health", "/model", "/nothing", "/docs/static/swagger-ui.css")
        answers += [await client.get(f"/project{path}") for path in paths]
    for answer in answers:
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], answer.url
        assert answer.headers.get_list("referrer-policy") == ["no-referrer"], answer.url
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("road", ROADS)
async def test_each_key_has_a_cache_of_its_own_where_that_is_set(road: str, keys_file: Path) -> None:
    model = FakeModel()
    async with connect_guarded(road, Settings(api_keys_file=keys_file, cache_per_key=True), model) as client:

        async def told(key: str, **headers: str) -> str:
            answer = await client.post("/project/predict", json=TEXT, headers={"x-api-key": key, **headers})
            return answer.headers["x-cache"]

        assert await told(FIRST) == "hit=0,miss=1,coalesced=0"
        assert await told(SECOND) == "hit=0,miss=1,coalesced=0"
        owner = {"x-cache-owner": hashlib.sha256(FIRST.encode()).hexdigest()}
        assert await told("another-key-00000", authorization=f"Bearer {FIRST}", **owner) == "hit=1,miss=0,coalesced=0"
        assert await told(SECOND, **owner) == "hit=1,miss=0,coalesced=0"
    assert model.calls == [["a"], ["a"]]
    async with connect_guarded(road, Settings(api_keys_file=keys_file), model) as client:
        told_of = [
            (await client.post("/project/predict", json=TEXT, headers={"x-api-key": key})).headers["x-cache"]
            for key in (FIRST, SECOND)
        ]
    assert told_of == ["hit=0,miss=1,coalesced=0", "hit=1,miss=0,coalesced=0"]


def test_a_cache_for_each_key_needs_keys() -> None:
    with pytest.raises(ValueError, match="cache_per_key needs api_keys_file"):
        Settings(cache_per_key=True)


@pytest.mark.parametrize("road", ROADS)
async def test_no_header_reveals_what_was_cached_if_that_is_hidden(road: str) -> None:
    async with connect_guarded(road, Settings(cache_headers=False)) as client:
        for _ in range(2):
            answer = await client.post("/project/predict", json={"text": ["a"]})
            assert answer.status_code == 200
            assert answer.headers["x-model"]
            assert not {"x-cache", "server-timing"} & set(answer.headers)
