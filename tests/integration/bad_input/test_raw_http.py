"""What no HTTP client would send: heads that are none, bodies of other lengths, several requests at once."""

from __future__ import annotations

import time

import pytest

from tests.integration.bad_input.requests import CANARY, chunk, chunked, connect, raw, request, status, texts
from tests.support.service import Service

POST = b"POST /project/predict HTTP/1.1\r\nHost: x\r\n"
GOOD = texts("I love you.")
END = chunk(b"")

HEADS = {
    "nonsense": (b"nonsense\r\n\r\n", 400),
    "bytes": (bytes(range(256)) * 4 + b"\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400),
    "Redis": (b"*1\r\n$4\r\nPING\r\n", 400),
    "HTTP/0.9": (b"GET /project/health\r\n\r\n", 400),
    "HTTP/3.0": (b"POST /project/predict HTTP/3.0\r\nHost: x\r\n\r\n", 422),
    "a method that there is not": (b"BREW /project/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
    "a method in small letters": (b"post /project/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
    "an asterisk for the path": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    "another protocol": (POST + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}", 400),
    "no method": (b" /project/predict HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a blank in the path": (b"POST /project/ predict HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a NUL in the path": (b"POST /project/\0predict HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a bare CR in a header": (POST + b"X-A: 1\rX-B: 2\r\n\r\n", 400),
    "a NUL in a header": (POST + b"X-A: a\0b\r\n\r\n", 400),
    "a header without a name": (POST + b": nameless\r\n\r\n", 400),
    "a header without a colon": (POST + b"canary-5c1d\r\n\r\n", 400),
    "a blank before the colon": (POST + b"Content-Length : 2\r\n\r\n{}", 400),
    "negative length": (POST + b"Content-Length: -5\r\n\r\n", 400),
    "length with a sign": (POST + b"Content-Length: +2\r\n\r\n{}", 400),
    "length in words": (POST + b"Content-Length: two\r\n\r\n{}", 400),
    "length of 30 digits": (POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", 400),
    "length of a terabyte": (POST + b"Content-Length: 1000000000000\r\nConnection: close\r\n\r\n" + b" " * 20_000, 413),
    "another transfer coding": (POST + b"Transfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", 422),
    "chunked not last": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "64 KiB header": (POST + b"X-Long: " + b"x" * 65536 + b"\r\n\r\n", 400),
    "64 KiB path": (b"POST /" + b"x" * 65536 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "10,000 headers": (POST + b"X-Many: 1\r\n" * 10_000 + b"\r\n", 400),
    "101 headers in a small head": (POST + b"A: 1\r\n" * 130 + b"\r\n", 400),
    "CONNECT": (b"CONNECT /project/predict HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "CONNECT to another host": (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 404),
    "TRACE with a cookie": (b"TRACE /project/predict HTTP/1.1\r\nHost: x\r\nCookie: canary-5c1d\r\n\r\n", 405),
}


@pytest.mark.parametrize(("head", "expected"), HEADS.values(), ids=HEADS.keys())
def test_what_is_no_http_gets_its_status(service: Service, deadline_s: float, head: bytes, expected: int) -> None:
    began = time.monotonic()
    with connect(service) as connection:
        connection.sendall(head)
        answer = connection.recv(65536)
    assert time.monotonic() - began < deadline_s
    assert status(answer) == expected, answer[:200]
    assert CANARY.encode() not in answer


BODIES = {
    "no length at all": (POST + b"Connection: close\r\n\r\n" + GOOD, 422),
    "the same length twice": (request(GOOD, extra=f"Content-Length: {len(GOOD)}\r\nConnection: close\r\n"), 200),
    "more than its length": (request(GOOD + b"junk", length=len(GOOD)), 200),
    "chunked": (chunked(chunk(GOOD), END), 200),
    "chunked by the byte": (chunked(*(chunk(GOOD[n : n + 1]) for n in range(len(GOOD))), END), 200),
    "chunk extensions": (chunked(b"%x;a=b;c\r\n%b\r\n" % (len(GOOD), GOOD), END), 200),
    "trailers": (chunked(chunk(GOOD), b"0\r\nX-Trailer: canary-5c1d\r\n\r\n"), 200),
    "an empty chunked body": (chunked(END), 422),
    "chunked and a length": (chunked(chunk(GOOD), END, extra="Content-Length: 3\r\n"), 200),
    "a chunk size that is none": (chunked(b"zz\r\nabc\r\n"), 400),
    "a negative chunk size": (chunked(b"-5\r\nabc\r\n"), 400),
    "a chunk size of 20 digits": (chunked(b"f" * 20 + b"\r\nabc\r\n"), 400),
    "a chunk longer than its size": (chunked(b"1\r\nabc\r\n"), 400),
    "chunks beyond the limit": (chunked(*[chunk(b" " * 65536)] * 17, END), 413),
    "HTTP/1.0": (request(GOOD, version="1.0", extra=""), 200),
    "HTTP/1.0, keep-alive": (
        request(GOOD, version="1.0", extra="Connection: keep-alive\r\nConnection: close\r\n"),
        200,
    ),
    "no Host": (request(GOOD).replace(b"Host: x\r\n", b""), 200),
    "a strange Host": (request(GOOD).replace(b"Host: x", b"Host: evil.example:99"), 421),
    "a whole URL for the path": (request(GOOD).replace(b"POST /", b"POST http://x/"), 200),
    "a line before the request": (b"\r\n" + request(GOOD), 200),
    "line feeds alone": (request(GOOD).replace(b"\r\n", b"\n"), 200),
    "expect: 100-continue": (request(GOOD, extra="Expect: 100-continue\r\nConnection: close\r\n"), 100),
    "90 headers": (request(GOOD, extra="A: 1\r\n" * 85 + "Connection: close\r\n"), 200),
    "8 KiB of headers": (request(GOOD, extra=f"A: {'x' * 8192}\r\nConnection: close\r\n"), 200),
}


@pytest.mark.parametrize(("data", "expected"), BODIES.values(), ids=BODIES.keys())
def test_a_body_of_any_framing_gets_its_status(service: Service, deadline_s: float, data: bytes, expected: int) -> None:
    began = time.monotonic()
    answer = raw(service, data)
    assert time.monotonic() - began < deadline_s
    assert status(answer) == expected, answer[:200]
    assert CANARY.encode() not in answer


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    answer = raw(service, request(texts("I love you."), extra="") + request(texts("I hate you.")))
    assert answer.count(b"HTTP/1.1 200") == 2
    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200")[1:]]
    assert [body[:35] for body in bodies] == [
        b'{"predictions":[[{"label":"POSITIVE',
        b'{"predictions":[[{"label":"NEGATIVE',
    ]


def test_a_bad_request_in_the_pipe_ends_it_after_the_good_one(service: Service) -> None:
    answer = raw(service, request(GOOD, extra="") + b"nonsense\r\n\r\n" + request(GOOD))
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.count(b"HTTP/1.1 400") == 1


def test_a_hundred_pipelined_requests_are_all_answered(service: Service) -> None:
    answer = raw(service, request(GOOD, extra="") * 99 + request(GOOD))
    assert answer.count(b"HTTP/1.1 200") == 100


def test_a_second_request_hidden_in_a_body_is_no_request(service: Service) -> None:
    hidden = b"GET /project/health HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = raw(service, request(hidden))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert status(answer) == 422
