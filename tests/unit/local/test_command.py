"""How every `python -m model...` command ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.service import REPOSITORY


def run(body: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import errno, os, signal\nfrom model.command import run\nfrom model.errors import ModelError\n"
        f"def main() -> None:\n    {body}\nrun(main)"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        ("raise ModelError('a is not b')", 1, "error: a is not b"),
        ("open('/nowhere/file')", 1, "error: /nowhere/file: No such file or directory"),
        ("raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))", 1, "error: No space left on device"),
        ("os.kill(os.getpid(), signal.SIGINT)", 130, ""),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, ""),
    ],
)
def test_an_error_is_one_line_and_a_signal_none(body: str, status: int, line: str) -> None:
    done = run(body)
    assert (done.returncode, done.stderr.strip(), done.stdout) == (status, line, "")
