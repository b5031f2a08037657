"""Answers of 4 KiB and more are gzipped for those who take that, and no others."""

from __future__ import annotations

import gzip

import httpx
import pytest

from serve_app.settings import Settings
from serve_app.web.compression import MIN_GZIP_BYTES, accepts_gzip
from tests.support.fakes import FakeModel
from tests.unit.web.test_api import connect, make_apps

MANY = {"text": [f"text {number}" for number in range(60)]}
FEW = {"text": ["a"]}


@pytest.fixture(params=["fastapi", "short path"])
def client(request: pytest.FixtureRequest) -> httpx.AsyncClient:
    return connect(make_apps(FakeModel(), Settings())[request.param])


async def raw(client: httpx.AsyncClient, method: str, url: str, **options: object) -> tuple[httpx.Response, bytes]:
    """The response, and its body as it came."""
    async with client.stream(method, url, **options) as response:  # type: ignore[arg-type]
        return response, b"".join([part async for part in response.aiter_raw()])


async def test_a_large_answer_is_gzipped_for_those_who_ask(client: httpx.AsyncClient) -> None:
    plain, body = await raw(client, "POST", "/project/predict", json=MANY, headers={"accept-encoding": "identity"})
    assert len(body) >= MIN_GZIP_BYTES
    assert (plain.headers.get("content-encoding"), plain.headers["vary"]) == (None, "Accept-Encoding")
    coded, small = await raw(client, "POST", "/project/predict", json=MANY, headers={"accept-encoding": "br, gzip"})
    assert (coded.headers["content-encoding"], coded.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(small) == body
    assert int(coded.headers["content-length"]) == len(small) < len(body) / 2
    assert coded.headers["content-type"] == plain.headers["content-type"]


async def test_a_small_answer_is_as_it_was(client: httpx.AsyncClient) -> None:
    answer, body = await raw(client, "POST", "/project/predict", json=FEW, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers
    assert body.startswith(b'{"predictions":[[')


@pytest.mark.parametrize("path", ["/project/", "/project/openapi.json", "/project/docs/static/swagger-ui-bundle.js"])
async def test_pages_and_documents_are_gzipped_too(client: httpx.AsyncClient, path: str) -> None:
    plain, body = await raw(client, "GET", path, headers={"accept-encoding": "identity"})
    coded, small = await raw(client, "GET", path, headers={"accept-encoding": "gzip"})
    assert plain.headers["vary"] == coded.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(small) == body
    if "etag" in plain.headers:
        assert coded.headers["etag"] == f"W/{plain.headers['etag']}"
        again = {"accept-encoding": "gzip", "if-none-match": coded.headers["etag"]}
        assert (await client.get(path, headers=again)).status_code == 304


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0.001", True),
        ("", False),
        ("identity", False),
        ("br, zstd", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("*;q=0", False),
        ("gzip;q=much", False),
        ("gzipped", False),
    ],
)
def test_weights_count(value: str, taken: bool) -> None:  # noqa: FBT001
    assert accepts_gzip([(b"host", b"x"), (b"accept-encoding", value.encode())]) is taken


def test_without_the_header_nothing_is_gzipped() -> None:
    assert not accepts_gzip([])
    assert accepts_gzip([(b"accept-encoding", b"br"), (b"accept-encoding", b"gzip")])


async def test_head_has_the_headers_of_get(client: httpx.AsyncClient) -> None:
    for coding in ("identity", "gzip"):
        headers = {"accept-encoding": coding}
        for path in ("/project/", "/project/openapi.json", "/project/health", "/project/model", "/project/docs"):
            get, body = await raw(client, "GET", path, headers=headers)
            head, nothing = await raw(client, "HEAD", path, headers=headers)
            assert (head.status_code, head.headers, nothing) == (get.status_code, get.headers, b"")
            assert int(head.headers["content-length"]) == len(body)
