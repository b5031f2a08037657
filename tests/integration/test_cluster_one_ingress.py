"""Two Ray nodes, and as few ingress replicas as their loops have work for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.overload.clients import OK, TOO_BUSY, Record, ask
from benchmarks.overload.connections import Connections
from tests.support.attacks import body, dense_texts
from tests.support.ray_cluster import Cluster, ray_cluster
from tests.support.wait import until

USERS, LIST, SECONDS = 32, 10, 8.0
BUSY = 0.8


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with ray_cluster(2, ingresses={"initial_replicas": 2, "min_replicas": 1, "max_replicas": 2}) as cluster:
        yield cluster


@contextmanager
def demand(process: psutil.Process) -> Iterator[list[float]]:
    """The share of the block's time in which the busiest thread of the process ran, or had to wait for a CPU to run on.

    What else the machine does takes nothing from it, as it does from the CPU time.
    """
    shares: list[float] = []
    began, before = time.monotonic(), _thread_seconds(process)
    yield shares
    elapsed_s = time.monotonic() - began
    after = _thread_seconds(process)
    shares.append(max(seconds - before.get(thread, 0.0) for thread, seconds in after.items()) / elapsed_s)


def _thread_seconds(process: psutil.Process) -> dict[str, float]:
    seconds = {}
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            ran, waited, _ = (task / "schedstat").read_text().split()
            seconds[task.name] = (int(ran) + int(waited)) / 1e9
    return seconds


def test_an_ingress_without_load_reports_that_and_ends(cluster: Cluster) -> None:
    # before a replica has reported its load, as many are wanted as there are
    until(lambda: cluster.target("ingress") == 1, "one ingress replica is enough", 60)
    until(lambda: len(cluster.processes("ingress")) == 1, "the other one has ended", 60)


def test_one_ingress_keeps_the_classifiers_of_both_nodes_busy(cluster: Cluster) -> None:
    assert len(cluster.processes("ingress")) == 1
    assert len(set(cluster.nodes("classifier"))) == 2
    first, second = cluster.processes("classifier")
    record = Record()

    async def use(warm_up_s: float, seconds: float) -> float:
        """How busy the less busy one is, while all users have a request under way."""
        connections = Connections(cluster.port)
        stopped = asyncio.Event()

        async def user() -> None:
            while not stopped.is_set():
                answer = await ask(connections, body(dense_texts(LIST)), record)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), answer.retry_after_s or 0)

        users = [asyncio.create_task(user()) for _ in range(USERS)]
        await asyncio.wait(users, timeout=warm_up_s)
        with demand(first) as here, demand(second) as there:
            await asyncio.wait(users, timeout=seconds)
        stopped.set()
        await asyncio.gather(*users)
        connections.close()
        await asyncio.sleep(0)
        return min(here + there)

    assert asyncio.run(use(2, SECONDS)) > BUSY
    assert record.statuses[OK]
    assert set(record.statuses) <= {OK, TOO_BUSY}
