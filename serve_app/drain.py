"""Drain HAProxy before its pod or run ends: `python -m serve_app.drain SECONDS`, a container's preStop command.

From the first moment every answer says `Connection: close`, and `/-/healthz` is 503; requests are answered as ever.
After the seconds, and once nothing is under way, HAProxy stops and closes the connections that were kept and not used.
Where Serve starts it anew it goes on draining: there is no way back.
"""

from __future__ import annotations

import csv
import math
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from serve_app.haproxy import DRAINING, drain_list

LONGEST_S = 25.0
"""Requests that are under way longer than this after the seconds are not waited for."""
CLOSE_S = 1.0
"""Less than Serve needs to find that its HAProxy has stopped, which it then kills."""
_LOOK_S = 0.1
_SOCKET = "admin.sock"  # beside the configuration, where Serve has both
_REPLY_S = 2.0


@dataclass(frozen=True, slots=True)
class HAProxy:
    """One process, and the configuration that it was started with."""

    process: psutil.Process
    config: Path

    def mark(self) -> None:
        """Have every answer close its connection, also those of processes that follow."""
        file = drain_list(self.config)
        file.write_text(f"{DRAINING}\n", encoding="ascii")
        if "match=no" in self._ask(f"get acl {file} {DRAINING}"):
            self._ask(f"add acl {file} {DRAINING}")

    def under_way(self) -> int:
        """Requests that were sent to an ingress replica and are not answered yet; none where HAProxy is gone."""
        rows = csv.DictReader(self._ask("show stat").removeprefix("# ").splitlines())
        return sum(int(row["scur"]) for row in rows if row["svname"] == "BACKEND" and row["pxname"] != "stats")

    def _ask(self, command: str) -> str:
        """The reply to a command at the admin socket, which the newest process answers; empty where none does."""
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
    """Those of the processes that are HAProxy, draining ones of earlier configurations included."""
    found = []
    for process in processes:
        try:
            name, arguments = process.name(), process.cmdline()
        except psutil.Error:
            continue
        if name == "haproxy" and "-f" in arguments[:-1]:
            found.append(HAProxy(process, Path(arguments[arguments.index("-f") + 1])))
    return found


def drain(seconds: float, running: Callable[[], Iterable[psutil.Process]] = psutil.process_iter) -> bool:
    """Drain every HAProxy among `running()`, as above; whether there was one.

    Takes the seconds, up to LONGEST_S for what is under way then, and up to CLOSE_S to close what is idle.
    """
    haproxies = find(running())
    if not haproxies:
        return False
    end = time.monotonic() + seconds
    while True:
        # again and again: one that starts while it is marked may have read the list just before
        for haproxy in haproxies:
            haproxy.mark()
        now = time.monotonic()
        if now >= end + LONGEST_S or (now >= end and not any(haproxy.under_way() for haproxy in haproxies)):
            break
        time.sleep(_LOOK_S)
        haproxies = find(running())
    _close(haproxies)
    return True


def _close(haproxies: list[HAProxy]) -> None:
    """Stop listening and finish what is under way; then end, which closes idle connections without a reset."""
    processes = [haproxy.process for haproxy in haproxies]
    for number in (signal.SIGUSR1, signal.SIGTERM):
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        _, processes = psutil.wait_procs(processes, timeout=CLOSE_S)


def main() -> None:
    """Drain what runs on this machine, which in a container is the pod's."""
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
