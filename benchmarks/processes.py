"""The memory of each process of a running service: `python -m benchmarks.processes $(pgrep -f serve_app.local)`."""

from __future__ import annotations

import re
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.command import run

NAMES = {
    r"ServeReplica:\w+:(\w+)": r"replica: \1",
    r"ray::(\w+)": r"Serve: \1",
    r"^ray-dashboard-(\w+)-\d": r"Ray: dashboard \1",
    r"/(gcs_server|raylet)\b": r"Ray: \1",
    r"dashboard/(dashboard|agent)\.py": r"Ray: dashboard \1",
    r"(runtime_env/agent/main|_private/log_monitor|autoscaler/_private/monitor|autoscaler/v2/monitor)": r"Ray: \1",
    r"^(?:\S*/)?haproxy\b": "HAProxy",
    r"python\S* -m ([\w.]+)": r"\1",
    r"from multiprocessing\.(\w+) import": r"Python: multiprocessing.\1",
}


def main(
    pid: Annotated[int, typer.Argument(min=1, help="Process that was started: `serve_app.local`, or `ray start`.")],
) -> None:
    """Print the memory of a process and its descendants, largest first."""
    console = Console()
    try:
        root = psutil.Process(pid)
    except psutil.NoSuchProcess:
        raise RuntimeError(f"there is no process {pid}") from None
    table = Table("process", "MB of its own share", "resident MB")
    rows = [(name_of(process), *_megabytes(process)) for process in [root, *root.children(recursive=True)]]
    for name, share, resident in sorted(rows, key=lambda row: -row[1]):
        table.add_row(name, f"{share:.0f}", f"{resident:.0f}")
    table.add_row("all", f"{sum(row[1] for row in rows):.0f}", "")
    console.print(table)


def _megabytes(process: psutil.Process) -> tuple[float, float]:
    """Memory with shared pages divided equally, as a container's limit counts them, and resident memory."""
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0.0, 0.0
    return memory.pss / 1e6, memory.rss / 1e6


def name_of(process: psutil.Process) -> str:
    """The process's role, in words."""
    try:
        command = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return "ended"
    for pattern, name in NAMES.items():
        if found := re.search(pattern, command):
            return found.expand(name)
    return " ".join(command.split()[:4])[:60]


if __name__ == "__main__":
    run(main)
