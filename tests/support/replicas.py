"""The processes of a running service's replicas, to freeze and kill, and their metrics."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil

from tests.support.prometheus import metrics_addresses
from tests.support.service import Service


def replicas(service: Service, deployment: str) -> list[psutil.Process]:
    assert service.process is not None
    found = []
    for process in psutil.Process(service.process.pid).children(recursive=True):
        try:
            if f"ServeReplica:sentiment:{deployment}" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@contextmanager
def frozen(service: Service, deployment: str = "classifier") -> Iterator[None]:
    """Stop the deployment's replicas while the block runs."""
    processes = replicas(service, deployment)
    assert processes
    with stopped(processes):
        yield


@contextmanager
def stopped(processes: list[psutil.Process]) -> Iterator[None]:
    """Stop the processes while the block runs."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            if process.is_running():
                process.send_signal(signal.SIGCONT)


def metric(service: Service, name: str, tag: str = "") -> float:
    """Sum of a metric over all replicas that have the tag, with a delay of seconds."""
    total = 0.0
    for address in metrics_addresses(service):
        lines = httpx.get(f"http://{address}/metrics", timeout=10).text.splitlines()
        total += sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name) and tag in line)
    return total
