"""HTTP clients of other languages and habits, and what HAProxy answers before the service sees a request."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import subprocess
import time
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests

from serve_app.haproxy import HEAD_BYTES, REQUEST_TIMEOUT_S
from tests.integration.bad_input.requests import connect, raw, request, status, texts
from tests.support.service import Service

PEERS = Path(__file__).parent.parent / "peers"
COMMANDS = {
    "node": ["node", str(PEERS / "peer.mjs")],
    "java": ["java", str(PEERS / "Peer.java")],
    "go": ["go", "run", str(PEERS / "peer.go")],
}
EXPECTED = ["json 200 2", "large 200 100", "slash 200 1", "chunked 200 3", "again 200 3"]


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_client_of_another_language_is_answered(service: Service, name: str) -> None:
    program(name)
    run = subprocess.run([*COMMANDS[name], service.url], capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout.splitlines() == EXPECTED, run.stdout + run.stderr


def test_requests_is_answered(service: Service) -> None:
    with requests.Session() as session:
        session.trust_env = False
        url = f"{service.url}/project/predict"
        assert len(session.post(url, json={"text": ["a", "ü"]}, timeout=30).json()["predictions"]) == 2
        large = session.post(url, json={"text": ["a"] * 100}, timeout=30)
        assert (large.headers["content-encoding"], len(large.json()["predictions"])) == ("gzip", 100)
        assert session.post(f"{url}/", json={"text": ["a"]}, timeout=30).status_code == 200
        parts = (part for part in (b'{"text": [', b'"a"]}'))
        assert session.post(url, data=parts, timeout=30).status_code == 200
        assert session.head(f"{service.url}/project/health", timeout=30).status_code == 200


def test_aiohttp_is_answered(service: Service) -> None:
    async def run() -> list[tuple[int, int]]:
        found = []
        async with aiohttp.ClientSession(f"{service.url}/project/") as session:
            for count in (2, 100):
                async with session.post("predict", json={"text": ["a"] * count}, compress="deflate") as answer:
                    found.append((answer.status, len((await answer.json())["predictions"])))
            async with session.post("predict/", json={"text": ["a"]}) as answer:
                found.append((answer.status, len((await answer.json())["predictions"])))
        return found

    assert asyncio.run(run()) == [(200, 2), (200, 100), (200, 1)]


def test_wget_is_answered(service: Service, tmp_path: Path) -> None:
    command = [program("wget"), "-q", "--no-proxy", "-O", "-", "--post-data", '{"text": ["a"]}']
    run = subprocess.run([*command, f"{service.url}/project/predict"], capture_output=True, timeout=60, check=False)
    assert run.stdout.startswith(b'{"predictions":'), run.stderr
    spider = [program("wget"), "-q", "--no-proxy", "--spider", f"{service.url}/project/"]
    assert subprocess.run(spider, capture_output=True, timeout=60, check=False, cwd=tmp_path).returncode == 0


def test_ab_finds_no_failure(service: Service, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_bytes(texts("I love you."))
    for options in ([], ["-k"]):
        command = [program("ab"), *options, "-n", "50", "-c", "5", "-l", "-p", "body.json", "-T", "application/json"]
        command.append(f"{service.url}/project/predict")
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert "Failed requests:        0" in run.stdout, run.stdout + run.stderr
        assert "Non-2xx" not in run.stdout


def test_a_connection_that_is_never_used_is_closed_without_an_answer(service: Service) -> None:
    with connect(service) as silent, connect(service) as used:
        used.sendall(request(texts("I love you."), extra=""))
        assert status(used.recv(65536)) == 200
        began = time.monotonic()
        assert silent.recv(65536) == b""
        assert time.monotonic() - began < REQUEST_TIMEOUT_S + 5


def test_a_request_that_was_begun_gets_an_answer_that_it_is_too_slow(service: Service) -> None:
    answer = raw(service, request(texts("I love you."))[:60])
    assert status(answer) == 408


@pytest.fixture(params=["--http1.1", "--http2-prior-knowledge"])
def curl(request: pytest.FixtureRequest, service: Service) -> list[str]:
    command = [program("curl"), "-s", "-m", "10", "--noproxy", "*", request.param, "-w", "\n%{http_code}"]
    if "HTTP2" not in subprocess.run([command[0], "-V"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("curl has no HTTP/2")
    return [*command, "-d", '{"text": ["I love you."]}', f"{service.url}/project/predict"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(8_000, "200"), (HEAD_BYTES - 400, "200"), (HEAD_BYTES + 1, "400"), (40_000, "400"), (60_000, "400")],
)
def test_headers_are_taken_up_to_the_limit_and_refused_beyond_it(curl: list[str], size: int, expected: str) -> None:
    run = subprocess.run(
        [*curl, "-H", f"Cookie: {'x' * size}"], capture_output=True, text=True, timeout=30, check=False
    )
    body, _, found = run.stdout.rpartition("\n")
    assert found == expected, run
    assert expected == "200" or '"headers_too_large"' in body


@pytest.mark.parametrize(("count", "expected"), [(90, "200"), (120, "400"), (900, "400")])
def test_so_many_headers_are_taken(curl: list[str], count: int, expected: str) -> None:
    headers = [part for number in range(count) for part in ("-H", f"X-Many-{number}: a, b, c")]
    run = subprocess.run([*curl, *headers], capture_output=True, text=True, timeout=30, check=False)
    assert run.stdout.rpartition("\n")[2] == expected, run


def test_a_gzipped_body_is_read_over_http(client: httpx.Client) -> None:
    body = gzip.compress(texts("I love you."))
    answer = client.post("/project/predict", content=body, headers={"content-encoding": "gzip"})
    assert answer.json()["predictions"][0][0]["label"] == "POSITIVE"
