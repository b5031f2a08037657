"""Headers that Serve reads before the service does reach it only where they are sound."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from serve_app.haproxy import MAX_ID_BYTES
from tests.support.proxied import Proxied, proxied

KEPT = [b"x-request-id: mine", b"x-request-id: '; DROP TABLE x; --", b"x-request-id: " + b"x" * MAX_ID_BYTES]
DROPPED = [
    b"x-request-id: \xff\xfe",
    b"X-Request-Id: id\xc3",
    "x-request-id: schlüssel".encode(),
    b"x-request-id: a\tb",
    b"x-request-id: " + b"x" * (MAX_ID_BYTES + 1),
    b"x-request-id: " + b"x" * 14_900,
    b"x-request-id: one\r\nx-request-id: two",
    b"x-request-timeout-seconds: 0.001",
    b"X-Request-Timeout-Seconds: \xff",
    b"serve_multiplexed_model_id: \xff",
    b"Serve-Multiplexed-Model-Id: other",
    b"serve-multiplexed_model-id: \xff",
    b"x-session-id: \xff",
    b"x_session_id: \xff",
    b"X-Session_Id: mine",
    b"traceparent: \xff",
    b"tracestate: \xff",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with proxied(tmp_path_factory.mktemp("haproxy")) as service:
        yield service


def answer(service: Proxied, header: bytes, *, body: bytes = b'{"text":["a"]}') -> bytes:
    head = b"POST /project/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n" % len(
        body
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(head + header + b"\r\n\r\n" + body)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("header", KEPT, ids=repr)
def test_a_sound_id_is_kept(service: Proxied, header: bytes) -> None:
    service.seen.clear()
    assert answer(service, header).startswith(b"HTTP/1.1 200 ")
    name, _, value = header.partition(b": ")
    assert (name, value) in service.seen[0]["headers"]


@pytest.mark.parametrize("header", DROPPED, ids=lambda header: repr(header[:50]))
def test_what_serve_would_stumble_over_is_dropped(service: Proxied, header: bytes) -> None:
    service.seen.clear()
    assert answer(service, header).startswith(b"HTTP/1.1 200 ")
    (scope,) = service.seen
    name = header.partition(b":")[0].lower().replace(b"_", b"-")
    assert name not in [each.replace(b"_", b"-") for each, _ in scope["headers"]]
