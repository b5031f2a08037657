"""Bodies with a Content-Encoding, a charset or a byte-order mark: decoded within the limits, or refused by a word."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
import tracemalloc
import zlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType
from serve_app.web.body_coding import body_coding, decoded
from tests.support.fakes import FakeModel
from tests.unit.web.test_api import connect, make_apps

LIMIT = 1 << 20
BODY = json.dumps({"text": ["a"]}).encode()
RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATE = RAW.compress(BODY) + RAW.flush()
GZIP = gzip.compress(BODY)
MEMBERS = gzip.compress(BODY[:5]) + gzip.compress(b"") + gzip.compress(BODY[5:])

TAKEN = {
    "gzip": ({"content-encoding": "gzip"}, GZIP),
    "GZIP in capitals": ({"content-encoding": "GZip"}, GZIP),
    "x-gzip": ({"content-encoding": "x-gzip"}, GZIP),
    "gzip in members": ({"content-encoding": "gzip"}, MEMBERS),
    "deflate": ({"content-encoding": "deflate"}, zlib.compress(BODY)),
    "raw deflate": ({"content-encoding": "deflate"}, RAW_DEFLATE),
    "identity": ({"content-encoding": "identity"}, BODY),
    "identity, gzip": ({"content-encoding": "identity, gzip"}, GZIP),
    "an empty coding": ({"content-encoding": ""}, BODY),
    "a mark": ({}, b"\xef\xbb\xbf" + BODY),
    "gzip with a mark": ({"content-encoding": "gzip"}, gzip.compress(b"\xef\xbb\xbf" + BODY)),
    "charset": ({"content-type": "application/json; charset=utf-8"}, BODY),
    "charset in quotes": ({"content-type": 'application/json;charset="UTF-8"'}, BODY),
    "charset us-ascii": ({"content-type": "text/plain; charset=US-ASCII"}, BODY),
    "another parameter": ({"content-type": "application/json; profile=charset"}, BODY),
}
REFUSED = {
    "brotli": ({"content-encoding": "br"}, BODY, 415),
    "zstd": ({"content-encoding": "zstd"}, BODY, 415),
    "twice": ({"content-encoding": "gzip, gzip"}, gzip.compress(GZIP), 415),
    "UTF-16": ({"content-type": "application/json; charset=utf-16"}, BODY.decode().encode("utf-16"), 415),
    "Latin-1": ({"content-type": "application/json; charset=ISO-8859-1"}, BODY, 415),
    "UTF-16 without a word": ({}, BODY.decode().encode("utf-16"), 422),
    "no gzip": ({"content-encoding": "gzip"}, BODY, 422),
    "cut off": ({"content-encoding": "gzip"}, GZIP[:-9], 422),
    "a wrong sum": ({"content-encoding": "gzip"}, GZIP[:-8] + bytes(8), 422),
    "something behind it": ({"content-encoding": "gzip"}, GZIP + b"more", 422),
    "something behind deflate": ({"content-encoding": "deflate"}, zlib.compress(BODY) + b"more", 422),
    "nothing": ({"content-encoding": "gzip"}, b"", 422),
    "more members than are read": ({"content-encoding": "gzip"}, gzip.compress(b"") * 20, 413),
    "larger than the limit once decoded": ({"content-encoding": "gzip"}, gzip.compress(bytes(301)), 413),
}


@pytest.fixture(params=["fastapi", "short path"])
def client(request: pytest.FixtureRequest) -> httpx.AsyncClient:
    return connect(make_apps(FakeModel())[request.param])


@pytest.mark.parametrize("name", TAKEN)
async def test_it_is_decoded(client: httpx.AsyncClient, name: str) -> None:
    headers, body = TAKEN[name]
    answer = await client.post("/project/predict", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 1


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused_by_its_status(client: httpx.AsyncClient, name: str) -> None:
    headers, body, status = REFUSED[name]
    answer = await client.post("/project/predict", content=body, headers=headers)
    assert answer.status_code == status
    (detail,) = answer.json()["detail"]
    assert set(detail) == {"type", "loc", "msg"}
    if "content-encoding" in headers and status == 415:
        assert answer.headers["accept-encoding"] == "gzip, deflate, identity"
        assert "Content-Encoding" in detail["msg"]


def test_a_bomb_costs_neither_memory_nor_time() -> None:
    bomb = gzip.compress(bytes(300 << 20))
    assert len(bomb) < LIMIT
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(BodyTooLarge):
        decoded(bomb, b"gzip", LIMIT)
    assert time.perf_counter() - began < 0.5
    assert tracemalloc.get_traced_memory()[1] < 5 * LIMIT
    tracemalloc.stop()


def test_a_mebibyte_of_small_members_costs_no_time() -> None:
    member = gzip.compress(b"x")
    began = time.perf_counter()
    with pytest.raises(InvalidRequest):
        decoded(member * (LIMIT // len(member)), b"gzip", LIMIT)
    assert time.perf_counter() - began < 0.5


@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_what_is_coded_is_decoded_or_too_large(body: bytes, limit: int) -> None:
    for coding, coded in ((b"gzip", gzip.compress(body)), (b"deflate", zlib.compress(body))):
        try:
            assert decoded(coded, coding, limit) == body
        except BodyTooLarge:
            assert len(body) > limit


@given(st.binary(max_size=200), st.sampled_from([b"gzip", b"x-gzip", b"deflate"]))
def test_any_bytes_are_decoded_or_refused(body: bytes, coding: bytes) -> None:
    with contextlib.suppress(InvalidRequest, BodyTooLarge):
        decoded(body, coding, LIMIT)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_any_headers_are_taken_or_refused(coding: bytes, content_type: bytes) -> None:
    with contextlib.suppress(UnsupportedMediaType):
        body_coding([(b"content-encoding", coding), (b"content-type", content_type)])
