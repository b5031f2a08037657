"""The contract point by point over real HTTP, HAProxy in front, and the course's own checks."""

from __future__ import annotations

import http.client
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.data import load_split
from serve_app.settings import MINI_MODEL
from tests.support import sentences
from tests.support.redis_server import RedisServer
from tests.support.reference import reference
from tests.support.service import Service
from tests.support.wait import until

PREFIX = "fastapi-cache-project::"


def by_label(prediction: list[dict[str, object]]) -> dict[str, object]:
    return {str(pair["label"]): pair["score"] for pair in prediction}


def test_the_contracts_example(client: httpx.Client) -> None:
    response = client.post("/project/predict", json={"text": ["example 1", "example 2"]})
    assert response.status_code == 200
    predictions = response.json()["predictions"]
    assert [len(prediction) for prediction in predictions] == [2, 2]
    for prediction in predictions:
        assert {pair["label"] for pair in prediction} == {"POSITIVE", "NEGATIVE"}
        assert 1 >= prediction[0]["score"] >= prediction[1]["score"] >= 0
        assert sum(pair["score"] for pair in prediction) == pytest.approx(1)


def test_the_course_checks(client: httpx.Client, shared_redis: RedisServer) -> None:
    assert client.get("/project/openapi.json").json()["openapi"] == "3.1.0"
    assert "<title>FastAPI - Swagger UI</title>" in client.get("/project/docs").text
    assert "healthy" in client.get("/project/health").text
    for _ in range(10):
        answer = client.post("/project/bulk-predict", json={"text": ["string"]})
        assert answer.status_code == 200
    pattern = r'\{"label":"(POSITIVE|NEGATIVE)","score":0\.\d+\}'
    assert len(re.findall(pattern, answer.text)) == 2
    shared_redis.client.flushall()
    client.post("/project/bulk-predict", json={"text": ["string"]})
    until(lambda: any(PREFIX in name for name in shared_redis.names()), "the key is there again", 2)
    assert client.post("/project/predict", json={"text": [123, None, True]}).status_code == 422
    assert client.post("/project/predict", json={"text": ["a"], "extra": 1}).status_code == 422
    assert client.post("/project/predict", json={"text": []}).json() == {"predictions": []}
    assert client.get("/project/predict").status_code == 405
    assert client.get("/project/bulk-predict").status_code == 405


def test_a_post_without_a_content_type_is_json(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.putrequest("POST", "/project/bulk-predict")
    body = b'{"text": ["no content type"]}'
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    assert response.status == 200
    assert len(json.loads(response.read())["predictions"]) == 1
    connection.close()


def test_love_and_hate(client: httpx.Client) -> None:
    love, hate = client.post("/project/predict", json={"text": ["I love you.", "I hate you."]}).json()["predictions"]
    assert love[0]["label"] == "POSITIVE"
    assert hate[0]["label"] == "NEGATIVE"


def test_the_headers_explain_the_answer(client: httpx.Client) -> None:
    texts = ["explain me", "explain me", "and me"]
    first = client.post("/project/predict", json={"text": texts})
    assert first.headers["x-cache"] == "hit=0,miss=2,coalesced=1"
    second = client.post("/project/predict", json={"text": [*texts, "me too"]})
    assert second.headers["x-cache"] == "hit=3,miss=1,coalesced=0"
    model = client.get("/project/model").json()
    assert first.headers["x-model"] == f"{model['name']}@{model['fingerprint']}"
    assert re.fullmatch(
        r"cache;dur=[\d.]+, queue;dur=[\d.]+, tokenize;dur=[\d.]+, model;dur=[\d.]+", first.headers["server-timing"]
    )
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    named = client.post("/project/predict", json={"text": []}, headers={"x-request-id": "mine"})
    assert named.headers["x-request-id"] == "mine"


def test_a_long_text_is_truncated_and_the_answer_reports_it(client: httpx.Client) -> None:
    fits, long = "good " * 510, "good " * 511
    for _ in range(2):
        response = client.post("/project/predict", json={"text": [fits, long, "short", long + "!"]})
        assert response.headers["x-truncated"] == "1,3"


def test_a_list_larger_than_a_batch_is_split_inside(client: httpx.Client) -> None:
    texts = [f"number {n} is {'great' if n % 2 else 'awful'}" for n in range(1000)]
    response = client.post("/project/predict", json={"text": texts})
    assert response.status_code == 200
    labels = [prediction[0]["label"] for prediction in response.json()["predictions"]]
    right = sum(label == ("POSITIVE" if n % 2 else "NEGATIVE") for n, label in enumerate(labels))
    assert right > 950, "in the order of the texts"
    assert client.post("/project/predict", json={"text": ["x"] * 1001}).status_code == 422


def test_every_answer_equals_the_pipelines_in_any_batch_and_from_the_cache(client: httpx.Client) -> None:
    wanted = reference(MINI_MODEL)(sentences.ALL)
    for _ in range(2):
        response = client.post("/project/predict", json={"text": sentences.ALL})
        for prediction, scores in zip(response.json()["predictions"], wanted, strict=True):
            assert by_label(prediction) == pytest.approx(scores, abs=1e-5)
    assert response.headers["x-cache"] == f"hit={len(sentences.ALL)},miss=0,coalesced=0"


def test_all_of_sst2_dev_equals_the_pipeline_over_http(client: httpx.Client, sst2_dir: str) -> None:
    texts = load_split(sst2_dir, "dev").texts
    wanted = reference(MINI_MODEL)(texts)
    with ThreadPoolExecutor(8) as pool:
        alone = pool.map(lambda text: client.post("/project/predict", json={"text": [text]}).json(), texts[:200])
    answers = [answer["predictions"][0] for answer in alone]
    answers += client.post("/project/predict", json={"text": texts[200:]}).json()["predictions"]
    for prediction, scores in zip(answers, wanted, strict=True):
        assert by_label(prediction) == pytest.approx(scores, abs=1e-5)


@given(st.lists(st.sampled_from(sentences.ALL), max_size=30))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_n_in_are_n_out_in_order_over_http(client: httpx.Client, texts: list[str]) -> None:
    known = {text: client.post("/project/predict", json={"text": [text]}).json()["predictions"][0] for text in texts}
    answer = client.post("/project/predict", json={"text": texts}).json()["predictions"]
    assert answer == [known[text] for text in texts]


def test_concurrent_callers_each_get_their_own_answer(client: httpx.Client) -> None:
    lists = [[f"caller {caller} says text {n} is fine" for n in range(caller % 7 + 1)] for caller in range(60)]

    def ask(texts: list[str]) -> list[object]:
        return list(client.post("/project/predict", json={"text": texts}).json()["predictions"])

    with ThreadPoolExecutor(20) as pool:
        at_once = list(pool.map(ask, lists))
    assert at_once == [ask(texts) for texts in lists]


def test_health_and_model(client: httpx.Client) -> None:
    assert client.get("/project/health").json() == {"status": "healthy"}
    model = client.get("/project/model").json()
    assert model["name"] == "mini"
    assert model["precision"] == "fp32"
    assert model["labels"] == ["NEGATIVE", "POSITIVE"]
    assert model["max_tokens"] == 512
    assert model["accuracy"] >= 0.87


@pytest.mark.parametrize("path", ["/", "/predict", "/docs", "/lab/predict", "/projects", "/project/no", "/metrics"])
def test_outside_its_routes_nothing_answers(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post(path, json={"text": ["a"]}).status_code == 404


def test_health_is_cheap(client: httpx.Client) -> None:
    began = time.perf_counter()
    for _ in range(50):
        client.get("/project/health")
    assert time.perf_counter() - began < 5
