"""The ingress learns from HAProxy whether it was reached on loopback, where Host must name this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support.proxied import Proxied, proxied


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with proxied(tmp_path_factory.mktemp("haproxy")) as service:
        yield service


@pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("", 200), ("evil.example:8000", 421)])
def test_haproxy_reports_to_the_ingress_that_it_was_reached_on_loopback(
    service: Proxied, host: str, status: int
) -> None:
    head = f"GET /project/model HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 %d" % status
