"""load.js against the running service, and against services that lie, fail or say nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from serve_app.local.ports import free_port
from tests.service import REPOSITORY, Service

K6 = shutil.which("k6", path=str(Path(sys.executable).parent)) or "k6"
THRESHOLDS_FAILED = 99  # k6's exit status
Answer = Callable[[list[str]], tuple[int, Any]]


def load(url: str, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"BASE_URL": url, "DURATION": "4s", "USERS": "3", **settings}
    named = [part for name, value in environment.items() for part in ("-e", f"{name}={value}")]
    command = [K6, "run", "--quiet", "--no-usage-report", *named, *options, "load.js"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


def fair(texts: list[str]) -> tuple[int, Any]:
    return 200, {"predictions": [pair("NEGATIVE" if "worst" in text else "POSITIVE") for text in texts]}


def pair(first: str, score: float = 0.75) -> list[dict[str, object]]:
    second = "POSITIVE" if first == "NEGATIVE" else "NEGATIVE"
    return [{"label": first, "score": score}, {"label": second, "score": 1 - score}]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Starts a service that answers predict as told, and health always; gives its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(200, {"status": "healthy"})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._send(*answer(json.loads(body)["text"]))

            def _send(self, status: int, body: object) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("scenario", ["course", "novel", "hits", "spike"])
def test_it_passes_on_the_service_and_tells_where_the_time_goes(
    scenario: str, service: Service, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.json"
    done = load(service.url, SCENARIO=scenario, SUMMARY=str(summary))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every threshold holds" in done.stdout
    metrics = json.loads(summary.read_text())["metrics"]
    assert metrics["cache_hit_rate"]["values"]["rate"] > 0.3
    assert metrics["stage_cache"]["values"]["max"] >= 0
    assert metrics["checks"]["values"]["fails"] == 0


def test_the_courses_own_command_runs(service: Service) -> None:
    done = load(service.url, "--summary-trend-stats", "min,avg,med,max,p(90),p(95),p(99),p(99.99)", NAMESPACE="me")
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_passes_on_an_honest_stand_in(serve: Callable[[Answer], str]) -> None:
    done = load(serve(fair))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("wrong labels", lambda texts: (200, {"predictions": [pair("NEGATIVE") for _ in texts]})),
        ("no predictions", lambda _: (200, {"predictions": []})),
        (
            "scores that do not add up",
            lambda texts: (200, {"predictions": [pair("POSITIVE", 0.8)[:1] * 2 for _ in texts]}),
        ),
        ("an empty object", lambda _: (200, {})),
        ("status 500", lambda _: (500, {"detail": []})),
    ],
)
def test_it_fails_on(name: str, answer: Answer, serve: Callable[[Answer], str]) -> None:
    done = load(serve(answer))
    assert done.returncode == THRESHOLDS_FAILED, name
    assert "FAILED" in done.stdout


def test_it_fails_where_the_same_text_gets_two_answers(serve: Callable[[Answer], str]) -> None:
    turn = iter(range(10**9))

    def fickle(texts: list[str]) -> tuple[int, Any]:
        score = 0.75 + (next(turn) % 2) / 10
        return 200, {"predictions": [pair("NEGATIVE" if "worst" in text else "POSITIVE", score) for text in texts]}

    assert load(serve(fickle)).returncode == THRESHOLDS_FAILED


def test_it_fails_where_nothing_answers() -> None:
    assert load(f"http://127.0.0.1:{free_port()}").returncode == THRESHOLDS_FAILED


def test_bad_settings_are_told() -> None:
    done = load("http://127.0.0.1:1", SCENARIO="curse")
    assert done.returncode
    assert "SCENARIO is curse; there are course, novel" in done.stderr
