"""HEAD wherever GET answers, and a slash too many behind a known path."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route

from serve_app.metrics import Metrics
from serve_app.settings import Settings
from serve_app.web.guard import guarded
from serve_app.web.trailing_slash import PATHS
from tests.support.fakes import FakeModel
from tests.unit.web.test_api import connect, make_apps

READ = ["/project", "/project/", "/project/health", "/project/model", "/project/docs", "/project/openapi.json"]


@pytest.fixture(params=["fastapi", "short path"])
def client(request: pytest.FixtureRequest) -> httpx.AsyncClient:
    settings = Settings()
    return connect(guarded(make_apps(FakeModel(), settings)[request.param], settings, Metrics()))


@pytest.mark.parametrize("path", [*READ, "/project/docs/static/swagger-ui.css", "/project/nothing", "/"])
async def test_head_is_get_without_a_body(client: httpx.AsyncClient, path: str) -> None:
    get, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.headers, head.content) == (get.status_code, get.headers, b"")


@pytest.mark.parametrize("path", ["/project/predict", "/project/bulk-predict"])
async def test_head_of_what_is_only_posted_is_405(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.head(path)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "POST", b"")


async def test_allow_names_head(client: httpx.AsyncClient) -> None:
    answer = await client.post("/project/health")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", sorted(PATHS))
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_a_slash_too_many_leads_to_the_path(client: httpx.AsyncClient, path: str, method: str) -> None:
    answer = await client.request(method, f"{path}/?a=1&b=%20%0d%0a")
    assert answer.status_code == 307
    assert answer.headers["location"] == f"../{path.rpartition('/')[2]}?a=1&b=%20%0d%0a"
    assert answer.next_request is not None
    assert answer.next_request.url.path == path


async def test_a_post_follows_with_its_body(client: httpx.AsyncClient) -> None:
    answer = await client.post("/project/predict/", json={"text": ["a"]}, follow_redirects=True)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path", ["/project/predict//", "//project/predict/", "/project/nothing/", "/project/predict%2f"]
)
async def test_other_spellings_lead_nowhere(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.post(path, json={"text": ["a"]})).status_code == 404


async def test_it_leads_there_before_a_key_is_asked(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("0123456789abcdef\n")
    settings = Settings(api_keys_file=tmp_path / "keys", cors_origins="https://a.example")
    async with connect(guarded(make_apps(FakeModel(), settings)["short path"], settings, Metrics())) as client:
        answer = await client.post("/project/predict/", headers={"origin": "https://a.example"})
        assert (answer.status_code, answer.headers["location"]) == (307, "../predict")
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert (await client.post("/project/predict")).status_code == 401


def test_every_route_is_known() -> None:
    api = make_apps(FakeModel())["fastapi"]
    assert isinstance(api, FastAPI)
    routes = {route.path for route in api.routes if isinstance(route, APIRoute | Route)}
    assert {path for path in routes if not path.endswith("/") and path != "/project"} == PATHS
