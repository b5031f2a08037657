"""The Serve configuration of the rendered manifests, on several Ray nodes, sent as the operator sends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import httpx
import pytest

from benchmarks.overload.clients import OK, TOO_BUSY, Record, ask, open_loop
from benchmarks.overload.connections import Connections
from tests.support.attacks import body, dense_texts
from tests.support.ray_cluster import Cluster, ray_cluster
from tests.support.wait import until

WORKERS, CLASSIFIERS = 3, 2
TOKENS = 420  # of each text
USERS, LIST, MEASURE_S = 4, 10, 4.0
TIMES = 2.5
RAISED_S, RUNS_S = 30.0, 60.0
DOWNSCALE_DELAY_S = 5.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # all values are prod's, but for ten minutes down
    with ray_cluster(WORKERS, scaling={"downscale_delay_s": DOWNSCALE_DELAY_S}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def texts_per_s(cluster: Cluster) -> float:
    """What the classifiers can do together."""

    async def measured(seconds: float) -> float:
        connections, record = Connections(cluster.port), Record()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds

        async def use() -> None:
            while loop.time() < end:
                await ask(connections, body(dense_texts(LIST, TOKENS)), record)

        await asyncio.gather(*(use() for _ in range(USERS)))
        await _closed(connections)
        assert set(record.statuses) == {OK}
        return record.statuses[OK] * LIST / seconds

    asyncio.run(measured(MEASURE_S / 2))  # which teaches the classifiers their rate
    return asyncio.run(measured(MEASURE_S))


def test_it_answers(cluster: Cluster) -> None:
    answer = httpx.post(f"{cluster.url}/predict", json={"text": ["I love you.", "I hate you."]}, timeout=30)
    assert [pair[0]["label"] for pair in answer.json()["predictions"]] == ["POSITIVE", "NEGATIVE"]


def test_each_node_has_at_most_one_classifier(cluster: Cluster) -> None:
    nodes = cluster.nodes("classifier")
    assert len(nodes) >= CLASSIFIERS
    assert len(set(nodes)) == len(nodes)


@pytest.mark.parametrize("texts", [1, 38, 100, 1000])
def test_classifiers_follow_work_in_requests_of_any_size(cluster: Cluster, texts_per_s: float, texts: int) -> None:
    until(lambda: len(cluster.nodes("classifier")) == CLASSIFIERS, "two classifiers are left of earlier load", 90)
    record = Record()

    async def offer(condition: Callable[[], object], what: str, within_s: float) -> None:
        connections = Connections(cluster.port)
        rate = TIMES * texts_per_s / texts
        loading = asyncio.create_task(
            open_loop(rate, RAISED_S + RUNS_S, lambda: ask(connections, body(dense_texts(texts, TOKENS)), record))
        )
        try:
            await asyncio.to_thread(until, condition, what, within_s)
        finally:
            loading.cancel()
            await asyncio.wait([loading])
            await _closed(connections)

    asyncio.run(offer(lambda: cluster.target("classifier") > CLASSIFIERS, "more classifiers are wanted", RAISED_S))
    assert set(record.statuses) <= {OK, TOO_BUSY}
    until(lambda: cluster.target("classifier") == CLASSIFIERS, "two are enough again", DOWNSCALE_DELAY_S + 30)


async def _closed(connections: Connections) -> None:
    connections.close()
    await asyncio.sleep(0)  # or the loop would end before they are closed
