"""Serve takes an ingress replica away under cache hits, of which it knows nothing: none may be lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.integration.test_drain import User
from tests.ray_cluster import Cluster, ray_cluster
from tests.wait import until

USERS = 8


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with ray_cluster(1, classifiers=1, RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S="2") as cluster:
        yield cluster


def test_no_hit_fails_while_a_replica_is_taken_away(cluster: Cluster) -> None:
    until(lambda: len(cluster.nodes("ingress")) == 2, "two ingress replicas run", 60)
    stop = threading.Event()
    with ThreadPoolExecutor(USERS) as pool:
        users = [pool.submit(User([cluster.port]).run, stop) for _ in range(USERS)]
        cluster.scale("ingress", 1)
        until(lambda: cluster.replicas("ingress") == 1, "one has ended", 90)
        assert httpx.get(f"{cluster.url}/health", timeout=10).status_code == 200
        stop.set()
        seen = sum((user.result() for user in users), Counter[str]())
    assert seen.keys() == {"200"}, seen
    assert seen["200"] > 100 * USERS
