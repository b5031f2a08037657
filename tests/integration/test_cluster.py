"""The Serve configuration of the rendered manifests, on several Ray nodes, sent as the operator sends it."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator

import httpx
import pytest

from tests.ray_cluster import Cluster, ray_cluster
from tests.wait import until

WORKERS = 3
USERS = 24  # three classifiers' worth, at 8 requests each; more would wait longer than the model's time-out


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # a slow machine may take long, but must not refuse
    with ray_cluster(WORKERS, SENTIMENT_MAX_WAIT_S="60") as cluster:
        yield cluster


def test_it_answers(cluster: Cluster) -> None:
    answer = httpx.post(f"{cluster.url}/predict", json={"text": ["I love you.", "I hate you."]}, timeout=30)
    assert [pair[0]["label"] for pair in answer.json()["predictions"]] == ["POSITIVE", "NEGATIVE"]


def test_each_node_has_at_most_one_classifier(cluster: Cluster) -> None:
    nodes = cluster.nodes("classifier")
    assert len(nodes) >= 2
    assert len(set(nodes)) == len(nodes)


def test_classifiers_grow_under_load_and_shrink_after_it(cluster: Cluster) -> None:
    until(lambda: len(cluster.nodes("classifier")) == 2, "two classifiers are left of earlier load", 60)

    def ask(number: int) -> int:
        texts = [f"{number} {index} " + "word " * 60 for index in range(10)]
        return httpx.post(f"{cluster.url}/predict", json={"text": texts}, timeout=60).status_code

    with concurrent.futures.ThreadPoolExecutor(USERS) as pool:
        numbers = iter(range(100_000))
        waiting = {pool.submit(ask, next(numbers)) for _ in range(USERS)}
        statuses = []

        def grown() -> bool:
            done, _ = concurrent.futures.wait(waiting, timeout=0.5, return_when="FIRST_COMPLETED")
            for future in done:
                waiting.remove(future)
                statuses.append(future.result())
                waiting.add(pool.submit(ask, next(numbers)))
            return len(cluster.nodes("classifier")) == 3

        until(grown, "a third classifier runs", 90)
        statuses += [future.result() for future in waiting]
    assert set(statuses) == {200}
    until(lambda: len(cluster.nodes("classifier")) == 2, "two classifiers are left", 90)
