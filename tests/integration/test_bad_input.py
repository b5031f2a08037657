"""Bad input at the real port, HAProxy in front: its exact status within 2 s, no echo, and the next request succeeds."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.service import Service

CANARY = "canary-5c1d"
LIMIT = 1 << 20
DEADLINE_S = 2.0


@pytest.fixture(autouse=True)
def next_good_request_succeeds(client: httpx.Client) -> Iterator[None]:
    yield
    assert client.post("/project/predict", json={"text": ["I love you."]}).status_code == 200


def post(client: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    response = client.post("/project/predict", content=body, headers=headers)
    assert response.elapsed.total_seconds() < DEADLINE_S
    assert CANARY not in response.text
    return response


def texts(*items: object) -> bytes:
    return json.dumps({"text": items}).encode()


BAD = {
    "empty": b"",
    "not JSON": CANARY.encode(),
    "byte order mark": b"\xef\xbb\xbf" + texts("a"),
    "cut off": texts(CANARY)[:-4],
    "gzip without a word": gzip.compress(texts(CANARY)),
    "bad UTF-8": b'{"text": ["\xc3\x28"]}',
    "UTF-16": '{"text": ["a"]}'.encode("utf-16"),
    "lone high surrogate": b'{"text": ["\\ud83d"]}',
    "lone low surrogate": b'{"text": ["\\ude00"]}',
    "swapped surrogates": b'{"text": ["\\ude00\\ud83d"]}',
    "null": b'{"text": null}',
    "string": texts(CANARY).replace(b"[", b"").replace(b"]", b""),
    "number": b'{"text": 5}',
    "true": b'{"text": true}',
    "object": b'{"text": {}}',
    "nested list": b'{"text": [["a"]]}',
    "one wrong among 999 good": texts(*["fine"] * 500, 5, *["fine"] * 499),
    "NaN": b'{"text": [NaN]}',
    "Infinity": b'{"text": [-Infinity]}',
    "1e999": b'{"text": [1e999]}',
    "5,000-digit integer": b'{"text": [' + b"9" * 5000 + b"]}",
    "depth 100,000": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 100_000,
    "1,001 texts": texts(*["a"] * 1001),
    "a text of 100,001 characters": texts("x" * 100_001),
    "one word of nearly 1 MB": texts("x" * (LIMIT - 100)),
    "unknown field": json.dumps({"text": ["a"], CANARY: CANARY}).encode(),
    "control character unescaped": b'{"text": ["a\x01b"]}',
    "single quotes": b"{'text': ['a']}",
    "trailing comma": b'{"text": ["a",]}',
    "comment": b'{"text": ["a"] /* fine */}',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_a_bad_body_is_422(client: httpx.Client, body: bytes) -> None:
    response = post(client, body)
    assert response.status_code == 422
    assert all(set(entry) == {"type", "loc", "msg"} for entry in response.json()["detail"])


GOOD = {
    "NUL": texts("a\x00b"),
    "control characters": texts("".join(map(chr, range(32)))),
    "right to left": texts("\u202eshalom שלום"),
    "zero width": texts("\u200b\u200d\ufeff"),
    "1,000 combining marks": texts("x" + "\u0301" * 1000),
    "emoji sequences": texts("👩‍👩‍👧‍👦🏳️‍🌈", "🤦🏽‍♂️"),
    "paired surrogates": b'{"text": ["\\ud83d\\ude00"]}',
    "NFC and NFD": texts("é", "e\u0301"),
    "special tokens spelled out": texts("[CLS] [SEP] [MASK] [PAD] [UNK]"),
    "SQL": texts("'; DROP TABLE texts; --"),
    "HTML": texts("<script>alert(1)</script>"),
    "CRLF": texts("a\r\nX-Evil: 1\r\n\r\nb"),
    "log injection": texts("\n2026-01-01 ERROR all is lost %s %(x)s ${jndi:ldap://x}"),
    "511, 512 and 513 tokens": texts("good " * 509, "good " * 510, "good " * 511),
    "one word of 100,000 characters": texts("x" * 100_000),
    "1,000 texts": texts(*[f"text {n}" for n in range(1000)]),
    "duplicate keys": b'{"text": ["a", "b"], "text": ["c"]}',
    "white space around": b" \r\n\t" + texts("a") + b" \n",
    "empty and blank": texts("", " ", "\n"),
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD.keys())
def test_an_odd_text_is_a_text(client: httpx.Client, body: bytes) -> None:
    client.timeout = httpx.Timeout(30)
    response = client.post("/project/predict", content=body)
    assert response.status_code == 200
    assert len(response.json()["predictions"]) == len(json.loads(body)["text"])


def test_nfc_and_nfd_are_different_texts_with_an_answer_each(client: httpx.Client) -> None:
    response = post(client, texts("an é", "an e\u0301"))
    assert response.headers["x-cache"] == "hit=0,miss=2,coalesced=0"


def test_the_byte_limit_is_exact(client: httpx.Client) -> None:
    fits = texts("a").ljust(LIMIT)
    assert post(client, fits).status_code == 200
    too_large = post(client, fits + b" ")
    assert too_large.status_code == 413
    assert too_large.json()["detail"][0]["type"] == "body_too_large"
    assert client.post("/project/predict", content=iter([fits, b" "])).status_code == 413


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_a_wrong_method_is_405(client: httpx.Client, method: str) -> None:
    assert client.request(method, "/project/predict").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "//project/predict",
        "/project//predict",
        "/project/predict/",
        "/project/%70redict/",
        "/PROJECT/predict",
        "/project/../x",
    ],
)
def test_another_spelling_of_the_path_is_404(service: Service, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    assert raw(service, head.encode()).startswith(b"HTTP/1.1 404")


def raw(service: Service, data: bytes) -> bytes:
    """Send bytes as they are; what comes back until the server closes, or falls silent."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=DEADLINE_S) as connection:
        connection.sendall(data)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except TimeoutError:
            pass
        return answer


def request(body: bytes, version: str = "1.1", extra: str = "Connection: close\r\n") -> bytes:
    head = f"POST /project/predict HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def test_http_1_0_is_answered(service: Service) -> None:
    assert b" 200 " in raw(service, request(texts("a"), version="1.0", extra="")).splitlines()[0]


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    first, last = texts("I love you."), texts("I hate you.")
    answer = raw(service, request(first, extra="") + request(last))
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b"POSITIVE") < answer.index(b"NEGATIVE")
    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200")[1:]]
    assert [body[:35] for body in bodies] == [
        b'{"predictions":[[{"label":"POSITIVE',
        b'{"predictions":[[{"label":"NEGATIVE',
    ]


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"POST /project/predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /project/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        b"POST /project/predict HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 65536 + b"\r\n\r\n",
        b"POST /project/predict HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 10_000 + b"\r\n",
        b"CONNECT /project/predict HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["nonsense", "negative length", "two lengths", "64 KiB header", "10,000 headers", "CONNECT"],
)
def test_what_is_no_http_is_400_class(service: Service, head: bytes) -> None:
    try:
        answer = raw(service, head)
    except ConnectionError:
        return  # refused outright, which is as good
    assert answer.startswith(b"HTTP/1.1 4"), answer[:100]


def test_a_client_that_goes_early_harms_nobody(service: Service, client: httpx.Client) -> None:
    data = request(texts(*[f"going away {n}" for n in range(50)]))
    for length in (10, 80, len(data) // 2, len(data) - 1, len(data)):
        with socket.create_connection(("127.0.0.1", service.port), timeout=DEADLINE_S) as connection:
            connection.sendall(data[:length])
    began = time.perf_counter()
    assert client.post("/project/predict", content=texts("and the next one")).status_code == 200
    assert time.perf_counter() - began < DEADLINE_S


def test_injection_into_headers_goes_nowhere(client: httpx.Client) -> None:
    response = client.post(
        "/project/predict", json={"text": ["a"]}, headers={"x-request-id": "'; DROP TABLE x; --", "cookie": CANARY}
    )
    assert response.status_code == 200
    assert CANARY not in str(response.headers)
