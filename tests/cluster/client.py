"""`python -m kuberay` as a user runs it: a process of its own, with a time-out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.errors import StepFailed

REPOSITORY = Path(__file__).resolve().parent.parent.parent
END_S = 10
"""How long a process may take to end after SIGTERM."""


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    command: str
    code: int
    out: str
    err: str
    seconds: float

    @property
    def last_line(self) -> str:
        """The last line that it printed, errors first."""
        lines = [line for line in (self.err.strip() or self.out.strip()).splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it printed nothing"


class Client:
    """Runs commands for one namespace."""

    def __init__(self, kubeconfig: str | None, context: str | None, namespace: str) -> None:
        self._where = ["--namespace", namespace]
        self._where += ["--kubeconfig", kubeconfig] if kubeconfig else []
        self._where += ["--context", context] if context else []

    def run(self, *arguments: str, timeout_s: float) -> Result:
        """Run a command; whatever its exit code, it is a Result.

        Raises:
            StepFailed: it did not end in time.
        """
        command = [sys.executable, "-m", "kuberay", *arguments, *self._where]
        shown = f"kuberay {' '.join(arguments)}"
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the suite, which then ends it
        )
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise StepFailed(f"`{shown}` did not end within {timeout_s:.0f} s") from None
        finally:
            _end(process)
        return Result(shown, process.returncode, out, err, time.monotonic() - began)

    def expect(self, *arguments: str, timeout_s: float) -> Result:
        """The same; another exit code than 0 is a StepFailed."""
        result = self.run(*arguments, timeout_s=timeout_s)
        if result.code:
            raise StepFailed(f"`{result.command}` ended with {result.code}: {result.last_line}")
        return result

    def status(self) -> dict[str, Any]:
        """What `status --json` says, ready or not; empty if it says nothing."""
        result = self.run("status", "--json", timeout_s=90)
        try:
            return dict(json.loads(result.out))
        except ValueError:
            return {}


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
