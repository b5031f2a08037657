"""A drain with the real HAProxy: kept connections are told to go, idle ones are closed, and none is reset."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from serve_app import drain as module
from serve_app.drain import drain, find
from serve_app.local.ports import free_port
from serve_app.local.processes import haproxy_of_ours
from tests.support.service import REPOSITORY
from tests.support.wait import until

pytestmark = pytest.mark.slow

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
SLOW_S = 1.5
CONFIG = """global
    stats socket {folder}/admin.sock mode 600 level admin expose-fd listeners
    nbthread 2
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 30s
    timeout http-keep-alive 60s
    option idle-close-on-response
frontend http_frontend
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string success if {{ path -i /-/healthz }}
    use_backend sentiment
backend sentiment
    server replica 127.0.0.1:{replica}
"""


class Replica(BaseHTTPRequestHandler):
    """Answers at once, or after SLOW_S below /slow."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(SLOW_S)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Says nothing of connections that HAProxy drops at its end."""

    def handle_error(self, *_: object) -> None:
        pass


class Front:
    """HAProxy as Serve starts it, by our script."""

    def __init__(self, folder: Path, replica: int) -> None:
        self.port = free_port()
        self._folder = folder
        self._replica = replica
        self._environment = haproxy_of_ours(folder)
        self.processes: list[psutil.Popen] = []

    def start(self, *arguments: str) -> None:
        """Start it, or a new one that takes over, as Serve does at every change of replicas."""
        file = self._folder / "haproxy.cfg"
        file.write_text(CONFIG.format(folder=self._folder, port=self.port, replica=self._replica))
        command = [self._environment["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(file), *arguments]
        self.processes.append(psutil.Popen(command, env={**os.environ, **self._environment}))
        until(lambda: self.answers() and self.processes[-1].name() == "haproxy", "HAProxy answers", 10)

    def reload(self) -> None:
        old = self.processes[-1].pid
        self.start("-sf", str(old), "-x", str(self._folder / "admin.sock"))

    def running(self) -> list[psutil.Process]:
        return [psutil.Process(process.pid) for process in self.processes if process.poll() is None]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def answers(self) -> bool:
        try:
            with self.connect() as connection:
                return ask(connection).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def ask(connection: socket.socket, request: bytes = GET) -> bytes:
    """The head of the answer; raises where the connection is reset."""
    connection.sendall(request)
    return connection.recv(1 << 16)


@pytest.fixture
def front() -> Iterator[Front]:
    server = Server(("127.0.0.1", 0), Replica)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    # not in pytest's own folder: a socket's path has at most 107 characters
    with tempfile.TemporaryDirectory(prefix="drain-") as folder:
        front = Front(Path(folder), server.server_port)
        try:
            front.start()
            yield front
        finally:
            for process in front.processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
            server.shutdown()
            server.server_close()
            thread.join()


def test_an_answer_keeps_its_connection_until_the_drain_and_says_close_in_it(front: Front) -> None:
    with front.connect() as connection, ThreadPoolExecutor(1) as pool:
        assert b"connection: close" not in ask(connection)
        drained = pool.submit(drain, 1, front.running)
        until(lambda: b"connection: close" in fresh(front), "answers say close", 5)
        answer = ask(connection)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert connection.recv(1) == b"", "it is closed, not reset"
        assert drained.result() is True


def fresh(front: Front, path: str = "/") -> bytes:
    with front.connect() as connection:
        return ask(connection, GET.replace(b"/", path.encode(), 1))


def test_serves_health_is_503_at_once_and_closes_its_connection_too(front: Front) -> None:
    assert fresh(front, "/-/healthz").startswith(b"HTTP/1.1 200")
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(drain, 1, front.running)
        until(lambda: fresh(front, "/-/healthz").startswith(b"HTTP/1.1 503"), "health is 503", 0.8)
        assert b"connection: close" in fresh(front, "/-/healthz")
        assert fresh(front).startswith(b"HTTP/1.1 200")
        drained.result()


def test_connections_that_nobody_uses_are_closed_and_not_reset_used_before_or_not(front: Front) -> None:
    used, never = front.connect(), front.connect()
    with used, never:
        ask(used)
        began = time.monotonic()
        drain(0.3, front.running)
        assert (used.recv(1), never.recv(1)) == (b"", b"")
        assert time.monotonic() - began < 5
    until(lambda: not front.running(), "HAProxy has ended", 5)


def test_of_pipelined_requests_the_first_answer_says_close_and_none_is_reset(front: Front) -> None:
    with front.connect() as connection, ThreadPoolExecutor(1) as pool:
        ask(connection)
        drained = pool.submit(drain, 0.5, front.running)
        until(lambda: b"connection: close" in fresh(front), "answers say close", 5)
        connection.sendall(3 * GET)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
        assert answer.count(b"HTTP/1.1 200") == 1
        drained.result()


def test_what_is_under_way_at_the_end_gets_its_answer(front: Front) -> None:
    with front.connect() as connection:
        connection.sendall(GET.replace(b"/", b"/slow", 1))
        until(lambda: find(front.running())[0].in_flight() == 1, "the request is in flight", 5)
        drain(0, front.running)
        answer = connection.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer


def test_what_never_ends_is_waited_for_so_long(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FINISH_S", 0.2)
    monkeypatch.setattr(module, "CLOSE_S", 0.1)
    with front.connect() as connection:
        connection.sendall(GET.replace(b"/", b"/slow", 1))
        until(lambda: find(front.running())[0].in_flight() == 1, "the request is in flight", 5)
        began = time.monotonic()
        drain(0, front.running)
        assert time.monotonic() - began < SLOW_S


def test_a_new_process_of_the_same_configuration_goes_on_draining(front: Front) -> None:
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(drain, 3, front.running)
        until(lambda: b"connection: close" in fresh(front), "answers say close", 5)
        front.reload()
        assert b"connection: close" in fresh(front)
        assert fresh(front, "/-/healthz").startswith(b"HTTP/1.1 503")
        drained.result()
    until(lambda: not front.running(), "both have ended", 5)


def test_a_reload_alone_starts_no_drain(front: Front) -> None:
    front.reload()
    until(lambda: len(front.running()) == 1, "the old process has ended", 5)
    assert b"connection: close" not in fresh(front)
    assert fresh(front, "/-/healthz").startswith(b"HTTP/1.1 200")


def test_a_haproxy_that_is_not_serves_is_left_alone(tmp_path: Path) -> None:
    class Foreign(psutil.Process):
        def name(self) -> str:
            return "haproxy"

        def cmdline(self) -> list[str]:
            return ["haproxy", "-f", str(tmp_path / "haproxy.cfg"), "-W"]

    assert find([Foreign()]) == []
    assert not drain(0, lambda: [Foreign()])


def test_where_nothing_runs_there_is_nothing_to_drain() -> None:
    assert drain(60, list) is False


@pytest.mark.parametrize("arguments", [[], ["soon"], ["-1"], ["nan"], ["inf"], ["1", "2"]])
def test_the_command_says_in_one_line_what_it_needs(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serve_app.drain", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: say for how many seconds: python -m serve_app.drain 20\n"
