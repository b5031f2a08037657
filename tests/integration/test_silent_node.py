"""A node that falls silent, which resets nothing: the raylet and the classifier of one of two Ray nodes are stopped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import httpx
import psutil
import pytest

from tests.support.machine_speed import slowdown
from tests.support.ray_cluster import Cluster, ray_cluster
from tests.support.replicas import stopped

USERS = 4
SECONDS = 8.0
SLOWEST_S = 3.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with ray_cluster(2) as cluster:
        yield cluster


def silent_node(cluster: Cluster) -> AbstractContextManager[None]:
    """One node with its classifier, without the ingress replicas there: who waits for those waits for HAProxy."""
    return stopped([process for process in cluster.node_processes("classifier") if not is_ingress(process)])


def is_ingress(process: psutil.Process) -> bool:
    return ":ingress" in " ".join(process.cmdline())


def ask(cluster: Cluster, text: str) -> tuple[int, float]:
    """Status and seconds."""
    began = time.monotonic()
    status = httpx.post(f"{cluster.url}/predict", json={"text": [text]}, timeout=30).status_code
    return status, time.monotonic() - began


def test_new_texts_are_answered_by_the_other_node_within_three_seconds(cluster: Cluster) -> None:
    assert len(set(cluster.nodes("classifier"))) == 2
    until = time.monotonic() + SECONDS

    def user(number: int) -> list[tuple[int, float]]:
        answers: list[tuple[int, float]] = []
        while time.monotonic() < until:
            answers.append(ask(cluster, f"user {number} asks for the {len(answers)}th time"))
        return answers

    with silent_node(cluster), ThreadPoolExecutor(USERS) as pool:
        answers = [answer for answers in pool.map(user, range(USERS)) for answer in answers]
    assert Counter(status for status, _ in answers) == {200: len(answers)}
    slow = sorted((seconds for _, seconds in answers), reverse=True)
    assert slow[0] < SLOWEST_S * slowdown()
    # those that were sent before it was known, not those after
    assert sum(seconds > SLOWEST_S / 3 for seconds in slow) <= 2 * USERS
