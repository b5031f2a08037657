"""Clients that never come to an end, and those that go at any stage: neither keeps others waiting."""

from __future__ import annotations

import itertools
import select
import socket
import struct
import time

import httpx
import pytest

from serve_app.haproxy import REQUEST_TIMEOUT_S
from tests.integration.bad_input.requests import chunk, chunked, connect, raw, request, status, texts
from tests.support.service import Service

NEW = texts(*[f"going away {n}" for n in range(50)])
LARGE = texts(*[f"large {n} " + "word " * 20 for n in range(600)])
STAGES = {
    "connected": 0,
    "in the request line": 10,
    "in the head": 40,
    "at the end of the head": request(NEW).index(b"\r\n\r\n") + 4,
    "in the body": len(request(NEW)) // 2,
    "before the last byte": len(request(NEW)) - 1,
    "waiting for the answer": len(request(NEW)),
}


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("length", STAGES.values(), ids=STAGES.keys())
def test_a_client_that_goes_harms_nobody(
    service: Service, client: httpx.Client, deadline_s: float, length: int, end: str
) -> None:
    for _ in range(3):
        with connect(service) as connection:
            connection.sendall(request(NEW)[:length])
            if end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    began = time.perf_counter()
    assert client.post("/project/predict", content=texts(f"after {length} {end}")).status_code == 200
    assert time.perf_counter() - began < deadline_s


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_client_that_goes_in_the_middle_of_its_answer_harms_nobody(service: Service, end: str) -> None:
    with connect(service) as connection:
        connection.sendall(request(LARGE))
        assert status(connection.recv(20)) == 200
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_body_that_ends_too_early_is_400(service: Service, deadline_s: float) -> None:
    began = time.monotonic()
    answer = raw(service, request(NEW, length=len(NEW) + 10), half_close=True)
    assert time.monotonic() - began < deadline_s
    assert status(answer) in (0, 400), "400, or nothing where the client counts as gone"


HEAD = request(NEW, length=9000).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
SLOW = {
    # what is sent at first, and what drips after it
    "half a head": (HEAD[:45], b""),
    "never a byte of the body": (HEAD, b""),
    "half a body": (HEAD + NEW[:100], b""),
    "a chunk and no more": (chunked(chunk(b'{"text": [')), b""),
    "a head that drips": (HEAD[:45], b"X"),
    "a body that drips": (HEAD, b" "),
    "chunks that drip": (chunked(), chunk(b" ")),
}


def answer_to(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def test_slow_clients_get_408_each_and_nobody_waits_for_them(
    service: Service, client: httpx.Client, deadline_s: float
) -> None:
    began = time.monotonic()
    connections = {name: connect(service) for name in SLOW}
    for name, connection in connections.items():
        connection.sendall(SLOW[name][0])
    for turn in itertools.takewhile(lambda _: time.monotonic() - began < REQUEST_TIMEOUT_S / 2, itertools.count()):
        sent = time.perf_counter()
        assert client.post("/project/predict", content=texts("a quick one")).status_code == 200
        assert time.perf_counter() - sent < deadline_s
        for name, connection in connections.items():
            if turn % 10 == 0:
                connection.sendall(SLOW[name][1])
    for name, connection in connections.items():
        with connection:
            answer = answer_to(connection)
            assert status(answer) == 408, name
            assert (b'"type":"request_too_slow"' in answer) == ("head" not in name), name
    assert REQUEST_TIMEOUT_S - 1 < time.monotonic() - began < REQUEST_TIMEOUT_S + deadline_s


def test_a_body_beyond_haproxys_buffer_that_stops_is_408_too(service: Service, body_timeout_s: float) -> None:
    began = time.monotonic()
    with connect(service) as connection:
        connection.sendall(request(b" " * 100_000, length=200_000, extra=""))
        answer = b""
        while b'"detail":[{"type":"body_too_slow"' not in answer:
            part = connection.recv(65536)
            assert part, answer
            answer += part
    assert status(answer) == 408
    assert time.monotonic() - began > body_timeout_s - 0.5


def test_an_endless_chunked_body_is_413_while_it_still_comes(service: Service) -> None:
    part = chunk(b" " * 65536)
    with connect(service) as connection:
        connection.sendall(chunked())
        for _ in range(1000):
            connection.sendall(part)
            if select.select([connection], [], [], 0)[0]:
                break
        assert status(connection.recv(65536)) == 413
