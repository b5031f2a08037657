"""The benchmark leaves no process of a stack behind, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.stacks import running
from serve_app.local.ports import free_port
from tests.support.wait import until

SERVER = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
Path(sys.argv[2]).write_text(str(child.pid))
server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.serve_forever()
"""


def interrupt(folder: Path, *, crash: bool) -> tuple[psutil.Process, psutil.Process]:
    """Have a stack up, then Ctrl-C; the server and its child."""
    port, pid = free_port(), folder / "child"
    command = [sys.executable, "-c", SERVER, str(port), str(pid)]
    with (
        contextlib.suppress(KeyboardInterrupt),
        running(command, folder, dict(os.environ), folder / "log", port, "/"),
    ):
        child = psutil.Process(int(pid.read_text()))
        server = psutil.Process(child.ppid())
        assert os.getsid(server.pid) == server.pid, "Ctrl-C in a terminal reaches the benchmark alone"
        if crash:
            server.kill()
            until(lambda: server.status() == psutil.STATUS_ZOMBIE, "the server has crashed")
        raise KeyboardInterrupt
    return server, child


@pytest.mark.parametrize("crash", [False, True], ids=["running", "crashed"])
def test_a_stack_is_gone_with_what_it_started(tmp_path: Path, crash: bool) -> None:  # noqa: FBT001
    server, child = interrupt(tmp_path, crash=crash)
    assert not server.is_running()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child has gone")


def test_a_stack_that_ends_at_once_is_said_so_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with (
        pytest.raises(RuntimeError, match=f"ended before it was ready; see {log}"),
        running(command, tmp_path, dict(os.environ), log, free_port()),
    ):
        pass
    assert "no such model" in log.read_text()
