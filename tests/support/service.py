"""The service as a user starts it, on a free port, for tests to talk to over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil

from serve_app.local.ports import SIDE_PORTS, free_port
from tests.support.wait import until

REPOSITORY = Path(__file__).resolve().parent.parent.parent
START_TIMEOUT_S = 120.0


class Service:
    """`python -m serve_app.local` with some environment; `stop` ends it by a signal.

    `python` is the tests' own, or that of a user's environment if that makes a difference.
    """

    def __init__(self, folder: Path, python: Path = Path(sys.executable), **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "serve.log"
        self._output = folder / "output.txt"
        self._python = python
        # its own ports, not the defaults: two that start at once would both find those free
        side_ports = {variable: str(free_port()) for variable in SIDE_PORTS}
        self._environment = {**os.environ, **side_ports, "PORT": str(self.port), **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(self._python), "-m", "serve_app.local", "--log", str(self.log)]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, env=self._environment, stdout=output, stderr=output, start_new_session=True
            )
        try:
            until(lambda: "Ctrl-C stops it" in self.output() or self._ended(), "the service is ready", START_TIMEOUT_S)
        except AssertionError:
            self.stop()
            raise
        assert not self._ended(), self.output()

    def output(self) -> str:
        return self._output.read_text()

    def run_folder(self) -> Path:
        """The folder of the run's files."""
        assert self.process is not None
        serve = psutil.Process(self.process.pid).children()[0]
        return Path(serve.environ()["RAY_AUTH_TOKEN_PATH"]).parent

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def post(self, *texts: object, **json: object) -> httpx.Response:
        return httpx.post(f"{self.url}/project/predict", json={"text": texts, **json}, timeout=30)

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None
