"""load.js against the running service, and against services that lie, fail or say nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from serve_app.local.ports import free_port
from tests.k6 import THRESHOLDS_FAILED, load
from tests.service import Service

Answer = Callable[[list[str]], tuple[int, Any]]


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
                if "Content-Type" in self.headers:
                    self._send(415, {"detail": "the course sends none"})
                else:
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


def test_it_asks_what_the_course_asks(serve: Callable[[Answer], str]) -> None:
    asked: list[list[str]] = []

    def note(texts: list[str]) -> tuple[int, Any]:
        asked.append(texts)
        return fair(texts)

    done = load(serve(note), CACHE_RATE="0.8", METRICS_URL=f"http://127.0.0.1:{free_port()}/metrics")
    assert done.returncode == 0, done.stdout + done.stderr
    fixed = [texts for texts in asked if len(texts) == 3]
    pool = [texts for texts in asked if len(texts) == 10]
    assert len(fixed) + len(pool) == len(asked)
    assert 0.5 < len(fixed) / len(asked) < 0.98
    assert all(texts == fixed[0] for texts in fixed)
    assert {frozenset(texts) for texts in pool} == {frozenset(pool[0])}
    assert len({tuple(texts) for texts in pool}) > 1, "each time in another order"
    assert set(fixed[0]) < set(pool[0])


def test_novel_texts_are_new_each_time(serve: Callable[[Answer], str]) -> None:
    asked: list[str] = []

    def note(texts: list[str]) -> tuple[int, Any]:
        asked.extend(texts)
        return fair(texts)

    load(serve(note), SCENARIO="novel", CACHE_RATE="0", DURATION="2s")
    new = asked[10:]  # after the texts that come again, asked once at the start
    assert len(new) > 20
    assert len(set(new)) == len(new)


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


def test_it_fails_where_users_get_answers_that_differ(serve: Callable[[Answer], str]) -> None:
    """As of replicas with different models: each user's connection stays with one of them."""
    order: dict[int, int] = {}

    def split(texts: list[str]) -> tuple[int, Any]:
        score = 0.75 + (order.setdefault(threading.get_ident(), len(order)) % 2) / 10
        return 200, {"predictions": [pair("NEGATIVE" if "worst" in text else "POSITIVE", score) for text in texts]}

    assert load(serve(split)).returncode == THRESHOLDS_FAILED


def test_it_fails_where_nothing_answers() -> None:
    done = load(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == THRESHOLDS_FAILED
    assert len(done.stderr.splitlines()) < 500, "a port that refuses is not asked thousands of times"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SCENARIO", "curse", "SCENARIO is curse; there are course, novel"),
        ("DURATION", "100ms", "DURATION is 100ms; give it as 30s, 10m or 1h30m"),
        ("USERS", "many", "USERS is many; give a number from 1"),
        ("CACHE_RATE", "95", "CACHE_RATE is 95; give a number from 0 to 1"),
    ],
)
def test_bad_settings_are_told(name: str, value: str, told: str) -> None:
    done = load("http://127.0.0.1:1", **{name: value})
    assert done.returncode
    assert told in done.stderr
