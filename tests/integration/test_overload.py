"""A service with little room, asked for more than it can do, whose replicas freeze and die."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import orjson
import pytest

from benchmarks.overload.clients import OK, TOO_BUSY, Novelties, Record, ask, ask_and_obey
from benchmarks.overload.connections import Connections
from serve_app.settings import MINI_MODEL
from tests.support.replicas import frozen, metric, replicas
from tests.support.service import Service
from tests.support.wait import until

HIT = "This one is in the cache."
numbers = itertools.count()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory that a test may break."""
    return Path(shutil.copytree(MINI_MODEL, tmp_path_factory.mktemp("model") / "mini"))


@pytest.fixture(scope="module")
def service(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(
        tmp_path_factory.mktemp("serve"),
        REPLICAS="1",
        SENTIMENT_MODEL_DIR=str(model_dir),
        SENTIMENT_PRECISION="fp32",
        SENTIMENT_MAX_WAIT_S="0.05",
        SENTIMENT_MODEL_TIMEOUT_S="20",
        SENTIMENT_HEALTH_MAX_AGE_S="3",
        SENTIMENT_HEALTH_PROBE_S="0.5",
        RAY_metrics_report_interval_ms="500",
    )
    service.start()
    yield service
    service.stop()


@pytest.fixture(autouse=True)
def healthy(service: Service) -> None:
    """Each test finds it answering, whatever the one before did to it."""
    until(lambda: health(service).status_code == 200, "it is healthy", 120)
    until(lambda: service.post(HIT).status_code == 200, "it answers", 60)


def health(service: Service) -> httpx.Response:
    return httpx.get(f"{service.url}/project/health", timeout=10)


def novel() -> str:
    return f"Nobody has said this before, number {next(numbers)}."


def test_overload_is_429_with_a_time_and_hits_are_always_served(service: Service) -> None:
    hits, first, second = Record(), Record(), Record()

    async def run() -> None:
        connections = Connections(service.port)
        bodies = [Novelties(20).body() for _ in range(300)]
        crowd = [ask_and_obey(connections, body, first, second, time.perf_counter() + 5) for body in bodies]
        hit = orjson.dumps({"text": [HIT]})
        await asyncio.gather(*crowd, *(ask(connections, hit, hits) for _ in range(100)))
        connections.close()

    asyncio.run(run())
    assert set(hits.statuses) == {OK}
    assert set(first.statuses) == {OK, TOO_BUSY}
    assert set(second.statuses) <= {OK, TOO_BUSY}
    assert second.statuses[OK]
    assert not first.without_retry_after + second.without_retry_after


def test_a_list_counts_only_what_is_not_cached(service: Service) -> None:
    with frozen(service):
        waiting = [send(service, *(novel() for _ in range(20))) for _ in range(100)]
        until(lambda: service.post(novel()).status_code == 429, "it is full")
        assert service.post(*[HIT] * 1000).status_code == 200
        refused = service.post(HIT, novel())
        assert refused.status_code == 429
        assert refused.json()["detail"][0]["type"] == "too_busy"
        assert int(refused.headers["retry-after"]) >= 1
        for each in waiting:
            each.close()
    until(lambda: service.post(novel()).status_code == 200, "there is room again", 60)


def send(service: Service, *texts: str, **headers: str) -> socket.socket:
    """Send a request without waiting for the answer."""
    body = orjson.dumps({"text": texts})
    head = f"POST /project/predict HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=60)
    connection.sendall(head.encode() + b"\r\n" + body)
    return connection


def seen(service: Service) -> None:
    """What was sent before has reached the ingress by now, as far as one can tell from outside."""
    for _ in range(20):
        assert service.post(HIT).status_code == 200


def test_a_thousand_concurrent_requests_for_a_new_text_are_one_inference(service: Service) -> None:
    body = orjson.dumps({"text": [novel()]})

    async def run() -> Record:
        record = Record()
        connections = Connections(service.port)
        with frozen(service):  # so that none of them is late enough to be a hit
            asked = [asyncio.ensure_future(ask(connections, body, record)) for _ in range(1000)]
            await asyncio.to_thread(seen, service)
        await asyncio.gather(*asked)
        connections.close()
        return record

    record = asyncio.run(run())
    assert record.statuses == {OK: 1000}
    assert record.missed == 1


def computed(service: Service) -> float:
    """Texts that the model has computed, once nothing is under way and only probes, two a second, still count."""
    seen: list[tuple[float, float]] = []

    def steady() -> bool:
        now = time.monotonic()
        seen.append((now, metric(service, "ray_sentiment_batch_texts_sum{")))
        early = [value for at, value in seen if at < now - 4]
        return bool(early) and seen[-1][1] - early[-1] < 20

    until(steady, "the model rests", 60)
    return seen[-1][1]


def test_what_clients_have_left_is_not_computed(service: Service) -> None:
    before = computed(service)
    with frozen(service):
        gone = [send(service, *(novel() for _ in range(10))) for _ in range(60)]
        seen(service)
        for each in gone:
            each.close()
        seen(service)
    until(lambda: service.post(novel()).status_code == 200, "there is room again", 60)
    # what was under way may be computed, and health probes are
    assert computed(service) < before + 150


def test_who_shares_a_text_with_a_client_that_leaves_gets_its_answer(service: Service) -> None:
    text = novel()
    with ThreadPoolExecutor(1) as pool:
        with frozen(service):
            leader = send(service, text)
            seen(service)
            follower = pool.submit(service.post, text)
            seen(service)
            leader.close()
            seen(service)
            assert not follower.done()
        assert follower.result().status_code == 200


def test_the_clients_deadline_is_kept(service: Service) -> None:
    with frozen(service):
        late = httpx.post(
            f"{service.url}/project/predict",
            json={"text": [novel()]},
            headers={"X-Request-Timeout-Ms": "200"},
            timeout=10,
        )
        assert late.status_code == 429
        assert late.json()["detail"][0]["type"] == "too_late"
        assert int(late.headers["retry-after"]) >= 1
    odd = httpx.post(
        f"{service.url}/project/predict",
        json={"text": [novel()]},
        headers={"X-Envoy-Expected-Rq-Timeout-Ms": "soon"},
        timeout=30,
    )
    assert odd.status_code == 200


def test_infinity_483_health_reports_a_frozen_model(service: Service) -> None:
    with frozen(service):
        until(lambda: health(service).status_code == 503, "it is unhealthy", 30)
        assert health(service).json()["status"] == "unhealthy"
        assert "no prediction has succeeded for" in health(service).json()["reason"]
        assert service.post(HIT).status_code == 200
    until(lambda: health(service).status_code == 200, "it is healthy again", 60)


def test_a_dead_replica_and_none_at_all_are_reported_and_replaced(service: Service, model_dir: Path) -> None:
    weights = model_dir / "model.safetensors"
    hidden = weights.rename(model_dir / "hidden")
    try:
        (classifier,) = replicas(service, "classifier")
        classifier.kill()
        until(lambda: health(service).status_code == 503, "it is unhealthy", 60)
        assert service.post(HIT).status_code == 200
        assert service.post(novel()).status_code in (429, 503)
    finally:
        hidden.rename(weights)
    until(lambda: health(service).status_code == 200, "it is healthy again", 180)
    until(lambda: service.post(novel()).status_code == 200, "it predicts again", 60)
