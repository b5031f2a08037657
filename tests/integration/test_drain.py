"""A Ray node that drains under load: two HAProxies, whose replicas are all on the worker, with kept connections."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from serve_app.drain import drain, find
from serve_app.local.ports import free_port
from tests.support.ray_cluster import Cluster, ray_cluster
from tests.support.wait import until

USERS = 8
SECONDS = 5.0
GRACE_S = 60.0
LEAVES_S = 1.0
"""What Kubernetes needs to take a pod out of the Service, of which nobody tells those who are connected."""
BODY = json.dumps({"text": ["I love you.", "I hate you."]})
KEPT = b"GET /project/health HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.fixture
def worker_port() -> int:
    return free_port()


@pytest.fixture
def cluster(worker_port: int) -> Iterator[Cluster]:
    with ray_cluster(
        1,
        proxies="EveryNode",
        classifiers=1,
        RAY_SERVE_WORKER_PROXY_HTTP_PORT=str(worker_port),
        SERVE_SOCKET_REUSE_PORT_ENABLED="1",  # both have the same other ports, on one machine
    ) as cluster:
        yield cluster


class User:
    """Predicts and asks for health on one connection until it is told to leave, then opens the next to any endpoint."""

    def __init__(self, endpoints: list[int]) -> None:
        self._endpoints = endpoints
        self._connection: http.client.HTTPConnection | None = None
        self.seen: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> Counter[str]:
        while not stop.is_set():
            for method, path, body in (("POST", "/project/predict", BODY), ("GET", "/project/health", None)):
                self.seen[self._ask(method, path, body)] += 1
        if self._connection is not None:
            self._connection.close()
        return self.seen

    def _ask(self, method: str, path: str, body: str | None) -> str:
        if self._connection is None or self._connection.sock is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", random.choice(self._endpoints), timeout=30)
        try:
            self._connection.request(method, path, body)
            answer = self._connection.getresponse()
            answer.read()
        except OSError as error:
            self._connection.close()
            return type(error).__name__
        return str(answer.status)


def haproxies(config_part: str) -> Callable[[], list[psutil.Process]]:
    """Those whose configuration is in a folder of that name."""
    return lambda: [each.process for each in find(psutil.process_iter()) if config_part in str(each.config)]


def test_no_request_fails_and_no_connection_is_reset(cluster: Cluster, worker_port: int) -> None:
    (node, *_) = cluster.nodes("ingress")
    of_worker = haproxies(node)
    until(of_worker, "the worker has its HAProxy", 30)
    endpoints = [cluster.port, worker_port]
    ten = 10 * endpoints  # each of the ingress replicas has to be healthy
    until(lambda: all(b" 200 " in answer(port) for port in ten), "both HAProxies have healthy replicas", 30)
    stop = threading.Event()
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", worker_port), timeout=GRACE_S) as idle:
        idle.sendall(KEPT)
        assert b" 200 " in whole(idle)
        with ThreadPoolExecutor(USERS + 1) as pool:
            users = [pool.submit(User(endpoints).run, stop) for _ in range(USERS)]
            drained = pool.submit(drain, SECONDS, of_worker)
            leaves = threading.Timer(LEAVES_S, endpoints.remove, [worker_port])
            leaves.start()
            until(lambda: b"connection: close" in answer(worker_port), "every answer says close", 5)
            assert b" 503 " in answer(worker_port, b"/-/healthz")
            assert drained.result()
            stop.set()
            seen = sum((user.result() for user in users), Counter[str]())
        assert idle.recv(1) == b""
    assert seen.keys() == {"200"}, seen
    assert seen["200"] > 10 * USERS
    assert time.monotonic() - began < GRACE_S
    assert b"connection: close" not in answer(cluster.port), "the other does not drain"


def whole(connection: socket.socket) -> bytes:
    """The answer of health, with its body."""
    received = b""
    while not received.endswith(b"}"):
        received += connection.recv(1 << 16)
    return received


def answer(port: int, path: bytes = b"/project/health") -> bytes:
    """The head of the answer on a connection of its own; empty where there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(KEPT.replace(b"/project/health", path))
            return connection.recv(1 << 16)
    except OSError:
        return b""
