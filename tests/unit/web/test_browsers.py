"""What browsers send for pages of other sites is refused; what programs and the service's own pages send is not."""

from __future__ import annotations

import httpx
import pytest

from serve_app.haproxy import ON_LOOPBACK
from serve_app.metrics import Metrics
from serve_app.settings import Settings
from serve_app.web.guard import guarded
from tests.support.fakes import FakeModel
from tests.unit.web.test_api import connect, make_apps

Pairs = dict[str, str]
OWN: list[Pairs] = [
    {},
    {"host": "a.example", "origin": "https://a.example"},
    {"host": "a.example:8000", "origin": "http://a.example:8000"},
    {"host": "A.example", "origin": "https://a.EXAMPLE"},
    {"host": "a.example:443", "origin": "https://a.example"},
    {"host": "internal:8000", "x-forwarded-host": "a.example", "origin": "https://a.example"},
    {"host": "internal:8000", "sec-fetch-site": "same-origin", "origin": "https://a.example"},
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
]
FOREIGN: list[Pairs] = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {"host": "a.example:8000", "origin": "http://a.example:3000"},
    {"host": "localhost:8000", "origin": "http://127.0.0.1:8000"},
    {"host": "a.example", "origin": "https://a.example.evil.example"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", "origin": "http://localhost:3000"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    {"sec-fetch-site": "cross-site", "origin": "https://evil.example", "content-type": "text/plain"},
    {"host": "a.example", "sec-fetch-site": "cross-site", "origin": "https://a.example"},
]
LEAVE = Settings(cors_origins="https://a.example,http://b.example:81")


def client(settings: Settings | None = None, road: str = "short path") -> httpx.AsyncClient:
    settings = settings or Settings()
    return connect(guarded(make_apps(FakeModel(), settings)[road], settings, Metrics()))


@pytest.mark.parametrize("headers", OWN, ids=repr)
async def test_programs_and_the_services_own_pages_are_answered(headers: Pairs) -> None:
    async with client() as asking:
        assert (await asking.post("/project/predict", json={"text": ["a"]}, headers=headers)).status_code == 200
        assert (await asking.get("/project/model", headers=headers)).status_code == 200


@pytest.mark.parametrize("road", ["fastapi", "short path"])
@pytest.mark.parametrize("headers", FOREIGN, ids=repr)
async def test_a_page_of_another_origin_is_403(headers: Pairs, road: str) -> None:
    async with client(road=road) as asking:
        answer = await asking.post("/project/predict", content=b'{"text": ["a"]}', headers=headers)
        assert answer.status_code == 403
        (fault,) = answer.json()["detail"]
        assert fault["type"] == "cross_site"
        assert "evil" not in answer.text
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        if "sec-fetch-mode" not in headers:
            assert (await asking.get("/project/model", headers=headers)).status_code == 403


async def test_a_link_may_be_followed_from_anywhere() -> None:
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    async with client() as asking:
        assert (await asking.get("/project/docs", headers=followed)).status_code == 200


@pytest.mark.parametrize("site", [{}, {"sec-fetch-site": "cross-site"}])
async def test_a_page_with_leave_is_answered_and_no_other(site: Pairs) -> None:
    async with client(LEAVE) as asking:
        for origin in ("https://a.example", "http://b.example:81"):
            answer = await asking.post("/project/predict", json={"text": ["a"]}, headers={"origin": origin, **site})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
        for origin in ("http://a.example", "http://b.example", "null"):
            answer = await asking.post("/project/predict", json={"text": ["a"]}, headers={"origin": origin, **site})
            assert answer.status_code == 403
    async with client(Settings(cors_origins="*")) as asking:
        headers = {"origin": "https://any.example", **site}
        assert (await asking.post("/project/predict", json={"text": ["a"]}, headers=headers)).status_code == 200


OURS = [
    "localhost",
    "LOCALHOST:8000",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.1.2.3",
    "[::1]",
    "[::1]:8000",
    "a.localhost:8000",
]
OURS += ["localhost.", "x", "my-machine:8000"]
THEIRS = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "10.0.0.1",
    "[::2]:80",
]
THEIRS += ["evil.example.", "a b", "localhost:8000:1", "evil.example:8000@localhost", "\xff.example"]


@pytest.mark.parametrize("host", OURS + THEIRS)
async def test_on_loopback_the_host_must_be_this_machine(host: str) -> None:
    headers = [(b"host", host.encode("latin-1")), (ON_LOOPBACK.encode(), b"?1")]
    async with client() as asking:
        answer = await asking.post("/project/predict", json={"text": ["a"]}, headers=headers)
        assert answer.status_code == (200 if host in OURS else 421)
        if host in THEIRS:
            assert answer.json()["detail"][0]["type"] == "foreign_host"
            assert host not in answer.text
        elsewhere = await asking.post("/project/predict", json={"text": ["a"]}, headers=headers[:1])
        assert elsewhere.status_code == 200, "over other addresses any Host is taken"


async def test_hosts_that_are_named_are_taken_on_loopback() -> None:
    headers = {"host": "A.example:8000", ON_LOOPBACK: "?1"}
    for hosts, status in (("a.example,b.example", 200), ("b.example", 421), ("*", 200)):
        async with client(Settings(allowed_hosts=hosts)) as asking:
            assert (await asking.get("/project/model", headers=headers)).status_code == status
