"""The load of the suite for clusters, against services that answer well, badly, late or not at all."""

from __future__ import annotations

import http.server
import io
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cluster import objects
from tests.cluster.inside import ask, checks, kill, load, probe
from tests.cluster.kills import kill_source
from tests.cluster.records import Records
from tests.support.service import Service
from tests.support.stub_service import always, fair
from tests.support.wait import until

GOOD = json.dumps(fair(["a"])[1]).encode()
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


def send(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes = GOOD, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """The port of a server that reads each request and then does that."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that has gone is no matter."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def caller(port: int, *, keep: bool = True, timeout_s: float = 5.0) -> Iterator[ask.Caller]:
    made = ask.Caller(ask.Address("127.0.0.1"), port, timeout_s, keep)
    try:
        yield made
    finally:
        made.close()


def hang_up(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(GOOD)))
    handler.end_headers()
    handler.wfile.write(GOOD[:10])
    handler.close_connection = True


def hang(_: http.server.BaseHTTPRequestHandler) -> None:
    threading.Event().wait(1)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda handler: send(handler, 200), "ok"),
        (lambda handler: send(handler, 429, Retry_After="2"), "limited"),
        (lambda handler: send(handler, 429), "4xx"),
        (lambda handler: send(handler, 404), "4xx"),
        (lambda handler: send(handler, 503, Retry_After="1"), "5xx"),
        (lambda handler: send(handler, 200, b"<html>"), "wrong answer"),
        (lambda handler: send(handler, 200, b'{"predictions": []}'), "wrong answer"),
        (
            lambda handler: send(handler, 200, json.dumps(always({"A": 0.2, "B": 0.8})([""])[1]).encode()),
            "wrong answer",
        ),
        (hang_up, "reset"),
        (half, "reset"),
        (hang, "time-out"),
    ],
)
def test_each_answer_and_failure_has_its_kind(answer: Answer, kind: str) -> None:
    with serving(answer) as port, caller(port, timeout_s=0.3) as one:
        assert one.ask(["a"]).kind == kind


def test_a_port_where_nobody_listens_is_refused() -> None:
    with serving(lambda handler: send(handler, 200)) as port, caller(port) as one:
        assert one.ask(["a"]).kind == "ok"
    assert one.ask(["a"]).kind == "refused"


def test_a_kept_connection_is_kept_until_the_server_says_close_and_a_new_one_never_is() -> None:
    peers: list[int] = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        peers.append(handler.client_address[1])
        send(handler, 200, Connection="close" if len(peers) == 3 else "keep-alive")

    with serving(answer) as port, caller(port) as kept, caller(port, keep=False) as new:
        assert {kept.ask(["a"]).kind for _ in range(5)} == {"ok"}
        assert peers[0] == peers[1] == peers[2] != peers[3] == peers[4]
        peers.clear()
        assert {new.ask(["a"]).kind for _ in range(2)} == {"ok"}
        assert peers[0] != peers[1]


def test_a_kept_connection_that_was_closed_while_idle_is_opened_again() -> None:
    closed = threading.Event()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        send(handler, 200)
        hang_up(handler)
        closed.set()

    with serving(answer) as port, caller(port) as kept:
        assert kept.ask(["a"]).kind == "ok"
        assert closed.wait(5)
        until(lambda: _has_ended(kept), "the end has arrived")
        assert kept.ask(["a"]).kind == "ok"


def _has_ended(kept: ask.Caller) -> bool:
    assert kept._connection is not None
    kept._connection.sock.settimeout(0.05)
    try:
        return kept._connection.sock.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False


def test_the_load_counts_hits_new_texts_kept_and_new_connections_separately() -> None:
    with serving(lambda handler: send(handler, 200)) as port:
        out, end = io.StringIO(), threading.Event()
        threading.Timer(2.5, end.set).start()
        load.run("127.0.0.1", port, {"hit": 100, "new": 20}, 5.0, load.Report(out), end)
    records = Records()
    assert all(records.add(line, time.time()) for line in out.getvalue().splitlines())
    window = records.window(0, time.time() + 60)
    assert window.keys() == {"hit/kept", "hit/new", "new/kept", "new/new"}
    assert not any(tally.failures for tally in window.values())
    assert window["hit/kept"].requests > window["hit/new"].requests
    assert len({load.new_text() for _ in range(100)}) == 100


def test_a_slow_answer_and_a_failure_are_lines_of_their_own() -> None:
    out = io.StringIO()
    report = load.Report(out)
    report.add("hit/new", ask.Outcome(ask.OK, 100.0, 0.0042))
    report.add("hit/new", ask.Outcome(ask.OK, 100.0, 1.5))
    report.add("hit/new", ask.Outcome(ask.LIMITED, 100.0, 0.1))
    report.add("new/new", ask.Outcome("5xx", 101.0, 0.2, "503"))
    report.flush()
    report.flush()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["n"] for line in lines] == [1, 2, 3]
    assert [line["type"] for line in lines] == ["one", "one", "many"]
    assert lines[1] | {"at": 0} == {
        "n": 2,
        "at": 0,
        "type": "one",
        "stream": "new/new",
        "kind": "5xx",
        "t": 101.0,
        "s": 0.2,
        "detail": "503",
    }
    assert (lines[2]["ms"], lines[2]["limited"]) == ([4], 1)


def test_the_probe_says_how_long_the_slowest_text_took() -> None:
    with serving(lambda handler: send(handler, 200)) as good, serving(lambda handler: send(handler, 503)) as bad:
        outcomes = probe.probe(["127.0.0.1"], good, 0.5, 5.0) + probe.probe(["127.0.0.1"], bad, 0.1, 5.0)
    summary = probe.summary(outcomes)
    assert summary["failed"] == probe.CALLERS
    assert summary["kinds"] == ["5xx 503"]
    assert float(str(summary["slowest_s"])) < 3
    assert probe.summary([]) == {"requests": 0, "limited": 0, "failed": 0, "kinds": [], "slowest_s": 0.0}


def test_the_pods_own_command_runs_from_the_config_map_alone(tmp_path: Path) -> None:
    spec = objects.pod("registry/a:b", 50, 5)["spec"]
    data = objects.code()["data"]
    for item in spec["volumes"][0]["configMap"]["items"]:
        file = tmp_path / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data[item["key"]], encoding="utf-8")
    (container,) = spec["containers"]
    command = [sys.executable, *container["command"][1:]]
    with serving(lambda handler: send(handler, 200)) as port:
        command = [
            part.replace(objects.SERVICE, "127.0.0.1").replace("--port=8000", f"--port={port}") for part in command
        ]
        done = subprocess.run(
            [*command, "--seconds=2"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    records = Records()
    assert all(records.add(line, time.time()) for line in done.stdout.splitlines())
    assert len(records.window(0, time.time() + 60)) == 4


def test_a_process_is_killed_by_its_argument_without_pkill() -> None:
    word = "kuberay-autoscaler-of-this-test"
    shell = f"while true; do {sys.executable} -c 'import time; time.sleep(60)' {word}; done"
    loop = subprocess.Popen(["/bin/bash", "-c", "--", shell], start_new_session=True)
    try:
        until(lambda: kill.with_argument(word), "the process runs")
        before = kill.with_argument(word)
        assert loop.pid not in before, "the shell that starts it again has the word inside of an argument only"
        command = [sys.executable, "-c", kill_source(), word, "kill"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.split() == [str(number) for number in before]
        until(lambda: kill.with_argument(word) not in ([], before), "another one runs")
    finally:
        loop.kill()
        loop.wait()
        for number in kill.with_argument(word):
            subprocess.run(["kill", str(number)], check=False)


def test_the_checks_hold_for_the_service_and_name_what_does_not(service: Service) -> None:
    port = urlsplit(service.url).port
    assert port is not None
    assert checks.run("127.0.0.1", port, 30.0) == {}
    with serving(lambda handler: send(handler, 200)) as bad:
        broken = checks.run("127.0.0.1", bad, 5.0)
    assert "422: text is null" in broken
    assert "health" in broken
