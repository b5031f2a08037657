"""Starts a process so that it and its descendants end with this process, however this one ends."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from serve_app import haproxy

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 20.0


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, so that `stop` finds them: HAProxy outlives its actor."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Get SIGTERM when the parent process dies, even by kill -9."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def start(command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `command` in its own session, so that the terminal's Ctrl-C reaches only this process."""
    return subprocess.Popen(  # noqa: S603  (our own command)
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509  (no thread has been started yet)
    )


def stop(process: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> int:
    """End the process with SIGTERM, then kill remaining descendants; returns how many were killed.

    On SIGTERM Serve ends in order: replicas finish, HAProxy stops, the cluster goes down.
    """
    left = set(psutil.Process().children(recursive=True))
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    left |= set(psutil.Process().children(recursive=True))
    _, alive = psutil.wait_procs(left, timeout=5)
    for survivor in alive:
        try:
            survivor.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=5)
    return len(alive)


def haproxy_of_ours(folder: Path, address: str = haproxy.LOOPBACK) -> dict[str, str]:
    """The variable that makes Serve run serve_app/haproxy.py as HAProxy, with the service's port on `address`."""
    script = folder.resolve() / "haproxy"
    command = shlex.join([sys.executable, "-I", haproxy.__file__, "--bind", address])
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return {"RAY_SERVE_HAPROXY_BINARY_PATH": str(script)}


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
