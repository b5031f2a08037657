"""The contract's routes over ASGI, with a fake model behind them; integration has them over real HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.types import ASGIApp

from serve_app.cache.base import NoSharedCache
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission
from serve_app.predict.health import HealthMonitor
from serve_app.predict.predictor import Predictor
from serve_app.settings import Settings
from serve_app.web.api import build_api
from serve_app.web.error_replies import PREDICT_ERRORS
from serve_app.web.predict_endpoint import FastPath, PredictEndpoint
from tests.support.bad_bodies import BAD_BODIES, CANARY
from tests.support.fakes import FakeModel, answer

LIMITS = Settings(max_texts=5, max_text_chars=20, max_body_bytes=300)


def make_apps(model: FakeModel, settings: Settings = LIMITS) -> dict[str, ASGIApp]:
    """The application with the short path and without: both must keep the contract."""
    metrics = Metrics()
    admission, probe_s = Admission(settings, metrics), settings.health_probe_s
    predictor = Predictor(model, lambda _: NoSharedCache(), admission, 100, metrics, probe_s=probe_s)
    endpoint = PredictEndpoint(settings, predictor, metrics)
    health = HealthMonitor(model, settings, metrics, predictor.saw)
    api = build_api(settings, predictor, endpoint, health, metrics)
    return {"fastapi": api, "short path": FastPath(endpoint, api)}


def connect(api: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest_asyncio.fixture(params=["fastapi", "short path"])
async def client(model: FakeModel, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(make_apps(model)[request.param]) as client:
        yield client


@pytest.mark.parametrize("path", ["/project/predict", "/project/bulk-predict"])
async def test_predict_answers_in_the_contracts_shape(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json={"text": ["example 1", "example 2", "example 1"]})
    assert response.status_code == 200
    assert list(response.json()) == ["predictions"]
    predictions = response.json()["predictions"]
    assert len(predictions) == 3
    assert predictions[0] == predictions[2] != predictions[1]
    for prediction in predictions:
        assert {pair["label"] for pair in prediction} == {"POSITIVE", "NEGATIVE"}
        assert prediction[0]["score"] >= prediction[1]["score"]
        assert sum(pair["score"] for pair in prediction) == pytest.approx(1)


async def test_everything_else_travels_in_headers(client: httpx.AsyncClient) -> None:
    response = await client.post("/project/predict", json={"text": ["a", "b", "a"]})
    assert response.headers["x-cache"] == "hit=0,miss=2,coalesced=1"
    assert response.headers["x-model"] == "fake@0123456789abcdef"
    assert [part.split(";")[0] for part in response.headers["server-timing"].split(", ")] == [
        "cache",
        "queue",
        "tokenize",
        "model",
    ]
    assert "x-truncated" not in response.headers
    again = await client.post("/project/predict", json={"text": ["a", "c"]})
    assert again.headers["x-cache"] == "hit=1,miss=1,coalesced=0"


async def test_truncation_is_reported_also_from_the_cache(model: FakeModel) -> None:
    async with connect(make_apps(model, Settings())["short path"]) as client:
        for _ in range(2):
            response = await client.post("/project/predict", json={"text": ["short", "x" * 2000, "y" * 2000]})
            assert response.headers["x-truncated"] == "1,2"


async def test_a_list_of_truncated_texts_that_is_too_long_for_a_header_is_cut_and_counted(model: FakeModel) -> None:
    settings = Settings(max_texts=5000, max_body_bytes=16 << 20)
    async with connect(make_apps(model, settings)["short path"]) as client:
        texts = [f"{number} " + "x" * 1000 for number in range(3500)]
        response = await client.post("/project/predict", json={"text": texts})
    indices = response.headers["x-truncated"].split(",")
    assert len(response.headers["x-truncated"]) <= 4096
    assert indices == [str(number) for number in range(len(indices))]
    assert response.headers["x-truncated-count"] == "3500"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json"])
async def test_a_body_is_json_whatever_its_content_type(client: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = await client.post("/project/predict", content=b'{"text": ["a"]}', headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("texts", [[], [""], [" ", "\t\n"], ["a"] * 5, ["x" * 20], ["\u0000"], ["😀"]])
async def test_these_are_texts_like_any_other(client: httpx.AsyncClient, texts: list[str]) -> None:
    response = await client.post("/project/predict", json={"text": texts})
    assert response.status_code == 200
    assert len(response.json()["predictions"]) == len(texts)


@pytest.mark.parametrize("body", [body for _, body in BAD_BODIES], ids=[name for name, _ in BAD_BODIES])
async def test_a_bad_body_is_422_without_an_echo(client: httpx.AsyncClient, model: FakeModel, body: bytes) -> None:
    response = await client.post("/project/predict", content=body)
    assert response.status_code == 422
    assert CANARY not in response.text
    for entry in response.json()["detail"]:
        assert set(entry) == {"type", "loc", "msg"}
        assert entry["loc"][0] == "body"
    assert model.calls == []


async def test_of_duplicate_keys_the_last_counts(client: httpx.AsyncClient) -> None:
    response = await client.post("/project/predict", content=b'{"text": ["a", "b"], "text": ["c"]}')
    assert len(response.json()["predictions"]) == 1


async def test_a_large_body_is_413_by_content_length_and_by_its_bytes(client: httpx.AsyncClient) -> None:
    fits = json.dumps({"text": ["a"]}).ljust(300).encode()
    assert (await client.post("/project/predict", content=fits)).status_code == 200
    assert (await client.post("/project/predict", content=fits + b" ")).status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 100

    response = await client.post("/project/predict", content=endless())
    assert response.status_code == 413
    assert response.json()["detail"][0]["type"] == "body_too_large"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_another_method_is_405(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/project/predict")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "path", ["/", "/predict", "/projects", "/project/predict/", "/docs", "/openapi.json", "/health"]
)
async def test_nothing_else_answers(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert response.json()["detail"][0]["type"] == "not_found"


async def test_health_is_503_until_a_prediction_has_succeeded(client: httpx.AsyncClient) -> None:
    response = await client.get("/project/health")
    assert response.status_code == 503
    assert response.json()["status"] == "unhealthy"
    assert "starting" in response.json()["reason"]
    await client.post("/project/predict", json={"text": ["a"]})
    response = await client.get("/project/health")
    assert (response.status_code, response.json()) == (200, {"status": "healthy"})


async def test_the_model_route_describes_the_model(client: httpx.AsyncClient) -> None:
    assert (await client.get("/project/model")).json() == {
        "name": "fake",
        "revision": "r1",
        "fingerprint": "0123456789abcdef",
        "precision": "fp32",
        "labels": ["NEGATIVE", "POSITIVE"],
        "max_tokens": 512,
        "accuracy": 0.9,
    }


async def test_a_model_that_does_not_answer_is_503(client: httpx.AsyncClient, model: FakeModel) -> None:
    model.broken = True
    response = await client.post("/project/predict", json={"text": [CANARY]})
    assert response.status_code == 503
    assert response.json()["detail"][0]["type"] == "model_unavailable"


@pytest.mark.parametrize(("late", "kind"), [(False, "too_busy"), (True, "too_late")])
async def test_what_the_model_refuses_is_429_with_a_time(
    client: httpx.AsyncClient, model: FakeModel, *, late: bool, kind: str
) -> None:
    model.refusals = [answer(None, wait_s=7.1, busy_s=0.0 if late else 7.1)]
    response = await client.post("/project/predict", json={"text": [CANARY]})
    assert response.status_code == 429
    assert response.json()["detail"][0]["type"] == kind
    assert set(response.json()["detail"][0]) == {"type", "loc", "msg"}
    assert int(response.headers["retry-after"]) >= 8
    assert CANARY not in response.text


async def test_the_callers_time_reaches_the_model(client: httpx.AsyncClient, model: FakeModel) -> None:
    headers = {"X-Request-Timeout-Ms": "5000", "x-envoy-expected-rq-timeout-ms": "never"}
    assert (await client.post("/project/predict", json={"text": ["a"]}, headers=headers)).status_code == 200
    (timeout_s,) = model.timeouts
    assert timeout_s is not None
    assert 4 < timeout_s <= 5


async def test_a_service_that_drains_is_unhealthy_and_answers(model: FakeModel, tmp_path: Path) -> None:
    settings = Settings(drain_file=tmp_path / "draining")
    async with connect(make_apps(model, settings)["short path"]) as client:
        await client.post("/project/predict", json={"text": ["a"]})
        assert (await client.get("/project/health")).status_code == 200
        (tmp_path / "draining").touch()
        response = await client.get("/project/health")
        assert response.status_code == 503
        assert "draining" in response.json()["reason"]
        assert (await client.post("/project/predict", json={"text": ["b"]})).status_code == 200


async def test_a_defect_is_500_without_words_of_the_user(
    client: httpx.AsyncClient, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explode(texts: list[str], _: float | None) -> None:
        raise RuntimeError(texts[0])

    monkeypatch.setattr(model, "classify", explode)
    response = await client.post("/project/predict", json={"text": [CANARY]})
    assert response.status_code == 500
    assert response.json()["detail"][0]["type"] == "internal_error"
    assert CANARY not in response.text


async def test_openapi_is_3_1_and_contains_limits_and_errors(client: httpx.AsyncClient) -> None:
    document: dict[str, Any] = (await client.get("/project/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {"/project/predict", "/project/bulk-predict", "/project/health", "/project/model"}
    for path in ("/project/predict", "/project/bulk-predict"):
        operation = document["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema["additionalProperties"] is False
        assert schema["properties"]["text"]["maxItems"] == 5
        assert schema["properties"]["text"]["items"]["maxLength"] == 20
        assert "300 bytes" in operation["requestBody"]["description"]
        statuses = {str(error.status) for error in PREDICT_ERRORS}
        assert set(operation["responses"]) == {"200", *statuses}
        assert operation["responses"]["429"]["headers"]["Retry-After"]["schema"] == {"type": "integer", "minimum": 1}


async def test_the_docs_need_no_internet(client: httpx.AsyncClient) -> None:
    page = (await client.get("/project/docs")).text
    assert "<title>FastAPI - Swagger UI</title>" in page
    assert "http://" not in page
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/project/docs/static/{asset}" in page
        assert (await client.get(f"/project/docs/static/{asset}")).status_code == 200
