"""Predict requests are answered before Serve, everything else behind it; no server, except where one has to end."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from ray.serve._private.http_util import _apply_middlewares, validate_http_proxy_callback_return
from ray.serve._private.utils import call_function_from_import_path
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.local.environment import DEFAULTS
from serve_app.metrics import Metrics
from serve_app.settings import Settings
from serve_app.web import before_serve
from serve_app.web.counted import Counted
from serve_app.web.guard import guarded
from serve_app.web.predict_endpoint import PATHS
from tests.support.fakes import FakeModel
from tests.support.wait import until_async
from tests.unit.web.test_api import connect, make_apps


async def serves(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands for Serve, and says so."""
    await PlainTextResponse("Serve")(scope, receive, send)


def server_app(app: ASGIApp) -> ASGIApp:
    """What a replica's HTTP server runs: Ray's own function puts on what our callback gives."""
    before_serve.offer(app, PATHS)
    middlewares = validate_http_proxy_callback_return(call_function_from_import_path(before_serve.CALLBACK))
    return _apply_middlewares(serves, middlewares)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _nothing_offered() -> Iterator[None]:
    yield
    before_serve._offered.clear()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings()
    app = guarded(make_apps(FakeModel(), settings)["short path"], settings, Metrics())
    async with connect(server_app(app)) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_a_predict_request_never_reaches_serve(client: httpx.AsyncClient, path: str) -> None:
    for expected in ("hit=0,miss=1,coalesced=0", "hit=1,miss=0,coalesced=0"):
        response = await client.post(path, json={"text": ["a"]})
        assert response.json()["predictions"]
        assert response.headers["x-cache"] == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/project/health"),
        ("GET", PATHS[0]),
        ("OPTIONS", PATHS[0]),
        ("POST", f"{PATHS[0]}/"),
        ("GET", "/-/healthz"),
    ],
)
async def test_everything_else_does(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await client.request(method, path)).text == "Serve"


async def test_each_answer_has_one_id(client: httpx.AsyncClient) -> None:
    answers = [await client.post(PATHS[0], json={"text": [text]}) for text in ("a", "a", 5)]
    ids = [answer.headers.get_list("x-request-id") for answer in answers]
    assert [len(each) for each in ids] == [1, 1, 1]
    assert len({each for (each,) in ids}) == 3
    named = await client.post(PATHS[0], json={"text": []}, headers={"X-Request-Id": "mine"})
    assert named.headers.get_list("x-request-id") == ["mine"]
    assert len((await client.get("/project/health")).headers.get_list("x-request-id")) == 1


async def test_the_guards_stand_before_serve_too(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef0123456789abcdef\n")
    settings = Settings(api_keys_file=keys, cors_origins="https://a.example")
    app = guarded(make_apps(FakeModel(), settings)["short path"], settings, Metrics())
    async with connect(server_app(app)) as client:
        for headers, status in (({}, 401), ({"Origin": "https://b.example"}, 403)):
            answer = await client.post(PATHS[0], json={"text": ["a"]}, headers=headers)
            assert answer.status_code == status
            assert "x-request-id" in answer.headers
        good = {"Origin": "https://a.example", "X-API-Key": keys.read_text().strip()}
        answer = await client.post(PATHS[0], json={"text": ["a"]}, headers=good)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_process_without_a_replica_gets_nothing() -> None:
    assert before_serve.middlewares() == []


def test_this_ray_has_all_that_is_needed_where_the_service_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = importlib.import_module("ray.serve._private.constants")
    monkeypatch.setattr(constants, before_serve.VARIABLE, DEFAULTS[before_serve.VARIABLE])
    monkeypatch.setattr(constants, "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", False)
    assert before_serve.unavailable() is None


@pytest.mark.parametrize("lacks", ["configure_http_middlewares", before_serve.VARIABLE, "thread"])
def test_what_a_ray_lacks_is_said(lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = importlib.import_module("ray.serve._private.constants")
    monkeypatch.setattr(constants, before_serve.VARIABLE, before_serve.CALLBACK)
    monkeypatch.setattr(constants, "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", lacks == "thread")
    if lacks == before_serve.VARIABLE:
        monkeypatch.delattr(constants, lacks)
    if lacks == "configure_http_middlewares":
        monkeypatch.delattr(importlib.import_module("ray.serve._private.replica"), lacks)
    assert before_serve.unavailable()


async def test_a_server_that_ends_first_answers_what_it_has() -> None:
    """What Serve does before it ends a replica, whose requests it does not know: it has uvicorn end, and waits."""
    model = FakeModel()
    model.gate.clear()
    app = server_app(make_apps(model, Settings())["short path"])
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, timeout_keep_alive=600))
    running = asyncio.create_task(server.serve())
    await until_async(lambda: server.started, "the server has started")
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        asked = asyncio.create_task(client.post(PATHS[0], json={"text": ["a"]}))
        await until_async(lambda: model.calls, "the model is asked")
        server.should_exit = True
        await until_async(lambda: not server.servers[0].sockets, "the server takes no more")
        model.gate.set()
        answer = await asked
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
    await asyncio.wait_for(running, 10)


async def test_every_request_is_counted_and_timed() -> None:
    metrics = Metrics()
    app = Counted(make_apps(FakeModel(), Settings())["short path"], metrics)
    async with connect(app) as client:
        for body in ({"text": ["a"]}, {"text": ["a"]}, {"text": 5}):
            await client.post(PATHS[0], json=body)
        await client.get("/project/nothing")
    assert metrics.requests._counts == {"200": 2, "422": 1, "404": 1}
    assert sum(metrics.request_ms._counts) == 4
