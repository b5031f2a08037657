"""Clients that hold connections and bodies open, by the thousand: others are answered as if they were not there."""

from __future__ import annotations

import collections
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from starlette.types import Receive, Scope, Send

from benchmarks.abuse import http2
from serve_app.haproxy import MAX_WAITING, REQUEST_TIMEOUT_S, SILENCE_S, UNANSWERED
from serve_app.web.unfinished import MAX_BODIES, MAX_BYTES
from tests.support.machine_speed import slowdown
from tests.support.proxied import Proxied, proxied
from tests.support.wait import until

HEAD = b"POST /project/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /project/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n    \r\n"
MIB = 1 << 20
BURST = 3_000
Hold = Callable[..., list[socket.socket]]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Proxied]:
    with proxied(tmp_path) as service:
        yield service


@pytest.fixture
def hold(service: Proxied) -> Iterator[Hold]:
    """Makes so many connections, which the end of the test closes."""
    with contextlib.ExitStack() as stack:

        def make(number: int, connect: Callable[[int], socket.socket] = plain) -> list[socket.socket]:
            return [stack.enter_context(connect(service.port)) for _ in range(number)]

        yield make


def plain(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def answered_in(service: Proxied) -> float:
    """The time in which a new client has its answer."""
    began = time.monotonic()
    response = httpx.post(f"{service.url}/project/predict", json={"text": ["a"]}, timeout=30, trust_env=False)
    assert response.status_code == 200, response.text
    return time.monotonic() - began


def assert_prompt(service: Proxied, times: int = 5) -> None:
    worst = max(answered_in(service) for _ in range(times))
    assert worst < 1 * slowdown(), f"{worst} s"


def upstream(service: Proxied) -> int:
    """HAProxy's connections to the application."""
    return sum(each.raddr.port == service.backend_port for each in service.haproxy.net_connections("tcp") if each.raddr)


@pytest.mark.skipif(
    int(Path("/proc/sys/net/core/somaxconn").read_text()) < BURST, reason="the kernel's limit of the backlog is lower"
)
def test_a_burst_to_a_busy_replica_is_answered(tmp_path: Path) -> None:
    sent = threading.Event()

    async def busy(scope: Scope, _: Receive, send: Send) -> None:
        if scope["path"] == "/first":
            sent.wait(60)
            threading.Event().wait(2 * SILENCE_S)  # blocks the loop, which accepts nothing meanwhile
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    get = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
    with proxied(tmp_path, lambda: busy) as service, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(plain(service.port)) for _ in range(BURST)]
        connections[0].sendall(get % b"first")
        until(lambda: any(scope["path"] == "/first" for scope in service.seen), "the replica is busy")
        for connection in connections[1:]:
            connection.sendall(get % b"more")
        sent.set()
        lines = collections.Counter(connection.recv(15) for connection in connections)
        assert lines == {b"HTTP/1.1 200 OK": BURST}


def test_without_a_replica_the_answer_is_a_503_in_json(service: Proxied, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(str(tmp_path / "admin.sock"))
        admin.sendall(b"set server sentiment/replica state maint\n")
        assert not admin.recv(1024).strip()
    response = httpx.post(f"{service.url}/project/predict", json={"text": ["a"]}, timeout=30, trust_env=False)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json() == {"detail": [{"type": "no_replica", "loc": [], "msg": UNANSWERED[503][1]}]}


def test_silent_connections_delay_no_new_client(service: Proxied, hold: Hold) -> None:
    hold(4_200)
    assert_prompt(service)


def test_answers_before_a_body_is_whole_leave_a_bounded_number_of_connections(service: Proxied, hold: Hold) -> None:
    for connection in hold(3_000):
        connection.sendall(HEAD.replace(b"predict", b"nothing") % MIB + b" " * 20_000)
    until(lambda: len(service.seen) >= 3_000, "all are with the ingress")
    until(lambda: upstream(service) <= MAX_WAITING + 64, "most are closed", REQUEST_TIMEOUT_S / 2)
    assert_prompt(service)


@pytest.mark.parametrize(("length", "size"), [(MIB, 20_000), (MIB, 100), (None, 100), (None, 0)])
def test_unfinished_bodies_over_http2_delay_no_new_client(
    service: Proxied, hold: Hold, length: int | None, size: int
) -> None:
    held = hold(55, http2.connect)
    for connection in held:
        for stream in range(1, 200, 2):
            connection.sendall(http2.opened(stream, length) + http2.data(stream, size))
    assert_prompt(service)
    bound = MAX_WAITING + MAX_BODIES + 64
    until(lambda: upstream(service) <= bound, f"at most {bound} of them are with the ingress", REQUEST_TIMEOUT_S)
    assert_prompt(service)


def test_streams_that_never_end_their_get_do_not_either(service: Proxied, hold: Hold) -> None:
    held = hold(30, http2.connect)
    for connection in held:
        connection.sendall(b"".join(http2.opened(stream, method=b"\x82") for stream in range(1, 200, 2)))
    assert_prompt(service)


@pytest.mark.parametrize("head", [HEAD % MIB, CHUNKED], ids=["sized", "chunked"])
def test_only_so_many_bodies_wait_in_haproxy(service: Proxied, hold: Hold, head: bytes) -> None:
    held = hold(MAX_WAITING + 200)
    for connection in held:
        connection.sendall(head)
    until(lambda: len(service.seen) >= 190, "those above go on to the ingress", REQUEST_TIMEOUT_S / 2)
    assert_prompt(service)


def test_bodies_of_a_mebibyte_that_never_end_take_a_bounded_memory(service: Proxied, hold: Hold) -> None:
    before = psutil.Process().memory_info().rss
    held = hold(300)
    for connection in held:
        connection.sendall(HEAD % MIB + b" " * (MIB - 1))
    answers = sum(connection.recv(12) == b"HTTP/1.1 408" for connection in held[: 300 - MAX_BYTES // MIB - 64])
    assert answers > 150, "those that began first make room"
    assert_prompt(service)
    # what the test itself sent is in the same process, as one string
    assert psutil.Process().memory_info().rss - before < 2 * MAX_BYTES + 40 * MIB


def test_a_slow_but_steady_body_is_whole_beside_a_few_that_never_end(service: Proxied, hold: Hold) -> None:
    held = hold(100)
    for connection in held:
        connection.sendall(HEAD % MIB + b" " * 20_000)
    body = b'{"text":["a"]}'.rjust(60_000)
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(HEAD % len(body) + body[:20_000])
        until(lambda: len(service.seen) >= 100, "it is with the ingress")
        connection.sendall(body[20_000:])
        assert connection.recv(12) == b"HTTP/1.1 200"
