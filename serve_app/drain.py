"""Drain HAProxy before its pod or run ends: `python -m serve_app.drain SECONDS`, a container's preStop command.

From the start every answer says `Connection: close`, and `/-/healthz` is 503; requests are still answered. After
SECONDS, and once no request is in flight, HAProxy stops and closes idle connections. If Serve restarts HAProxy
meanwhile, it goes on draining: a drain cannot be undone.
"""

from __future__ import annotations

import csv
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from serve_app.haproxy import DRAINING, drain_list

MAX_FINISH_S = 25.0
"""How long after SECONDS requests in flight are waited for."""
CLOSE_S = 1.0
"""Time for HAProxy to end by itself: when Serve notices later that HAProxy has stopped, it kills the process."""
_POLL_S = 0.1
_SOCKET = "admin.sock"  # Serve puts it beside the configuration
_REPLY_S = 2.0


@dataclass(frozen=True, slots=True)
class HAProxy:
    """One process, and the configuration that it was started with."""

    process: psutil.Process
    config: Path

    def mark(self) -> None:
        """Have every answer close its connection, in this process and in those that replace it."""
        file = drain_list(self.config)
        file.write_text(f"{DRAINING}\n", encoding="ascii")
        if "match=no" in self._ask(f"get acl {file} {DRAINING}"):
            self._ask(f"add acl {file} {DRAINING}")

    def in_flight(self) -> int:
        """The number of requests that wait for an ingress replica's answer; 0 if HAProxy has ended."""
        rows = csv.DictReader(self._ask("show stat").removeprefix("# ").splitlines())
        return sum(int(row["scur"]) for row in rows if row["svname"] == "BACKEND" and row["pxname"] != "stats")

    def _ask(self, command: str) -> str:
        """The reply to a command at the admin socket, which the newest process answers; empty if none does."""
        reply = b""
        try:
            with socket.socket(socket.AF_UNIX) as admin:
                admin.settimeout(_REPLY_S)
                admin.connect(str(self.config.parent / _SOCKET))
                admin.sendall(f"{command}\n".encode())
                while part := admin.recv(1 << 16):
                    reply += part
        except OSError:
            return ""
        return reply.decode(errors="replace")


def find(processes: Iterable[psutil.Process]) -> list[HAProxy]:
    """Serve's HAProxy processes among `processes`, including those that drain an earlier configuration."""
    found = []
    for process in processes:
        try:
            name, arguments = process.name(), process.cmdline()
        except psutil.Error:
            continue
        if name == "haproxy" and "-f" in arguments[:-1]:
            config = Path(arguments[arguments.index("-f") + 1])
            if os.access(drain_list(config), os.W_OK):  # others have none
                found.append(HAProxy(process, config))
    return found


def drain(seconds: float, running: Callable[[], Iterable[psutil.Process]] = psutil.process_iter) -> bool:
    """Drain every HAProxy among `running()`; False if there is none.

    Takes the seconds, up to MAX_FINISH_S for requests then in flight, and up to CLOSE_S to close idle connections.
    """
    haproxies = find(running())
    if not haproxies:
        return False
    end = time.monotonic() + seconds
    while True:
        # repeatedly, since a process that starts meanwhile may have read the list before it was marked
        for haproxy in haproxies:
            haproxy.mark()
        now = time.monotonic()
        if now >= end + MAX_FINISH_S or (now >= end and not any(haproxy.in_flight() for haproxy in haproxies)):
            break
        time.sleep(_POLL_S)
        haproxies = find(running())
    _close(haproxies)
    return True


def _close(haproxies: list[HAProxy]) -> None:
    """Stop listening and finish requests in flight; then end, which closes idle connections without a reset."""
    processes = [haproxy.process for haproxy in haproxies]
    for number in (signal.SIGUSR1, signal.SIGTERM):
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.Error:
                continue
        _, processes = psutil.wait_procs(processes, timeout=CLOSE_S)


def main() -> None:
    """Drain every HAProxy on this machine, or, in a container, in its pod."""
    try:
        (argument,) = sys.argv[1:]
        seconds = float(argument)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        sys.stderr.write("error: say for how many seconds: python -m serve_app.drain 20\n")
        sys.exit(2)
    if not drain(seconds):
        sys.stderr.write("no HAProxy runs here: there is nothing to drain\n")


if __name__ == "__main__":
    main()
