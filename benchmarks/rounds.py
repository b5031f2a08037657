"""Rounds of the loads over HTTP: every stack in turn, restarted each time, in reverse order every second round."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil
from rich.console import Console

from benchmarks.columns import Column
from benchmarks.golden import TOLERANCE
from benchmarks.loads import CAPACITY, OPEN, Golden, Load, WrongAnswers, run_load
from benchmarks.report import TITLES, Rounds

SETTLE_S = 120
console = Console(stderr=True)


def measure(
    columns: Sequence[Column], loads: Sequence[Load], rounds: int, seconds: int, build: Path
) -> tuple[Rounds, dict[str, float]]:
    """The figures of every round, and the memory of this service's processes after the last.

    Raises:
        WrongAnswers: a stack answered wrongly, or not at all.
    """
    names = [load.name for load in loads]
    names += list(OPEN) if CAPACITY in names else []
    measured: Rounds = {name: {column.name: [] for column in columns} for name in names}
    memory: dict[str, float] = {}
    count, total = itertools.count(1), rounds * len(columns) * len(names)
    for turn in range(rounds):
        for column in columns if turn % 2 == 0 else reversed(columns):
            with column.start() as url:
                check(url, column.golden, column.tolerance)
                for load in [*loads, *_open(loads)]:
                    console.print(f"{next(count)}/{total}: round {turn + 1}, {TITLES[column.name]}, {load.name}")
                    run = load
                    if load.name in OPEN:
                        rate = OPEN[load.name] * measured[CAPACITY][column.name][-1].requests_per_s
                        run = Load(load.name, load.kind, rate=max(1, round(rate)))
                    figures = run_load(run, url, seconds, column.golden, column.tolerance, build)
                    measured[load.name][column.name].append(figures)
                    settle(url)
                check(url, column.golden, column.tolerance)
                if column.name == "ours":
                    memory = memory_of_service()
    return measured, memory


def _open(loads: Sequence[Load]) -> list[Load]:
    return [Load(name, "new") for name in OPEN if CAPACITY in [load.name for load in loads]]


def check(url: str, golden: Golden, tolerance: float = TOLERANCE) -> None:
    """Request each golden text alone: this warms the caches, and wrk checks statuses only.

    Raises:
        WrongAnswers: an answer is off by more than the tolerance.
    """
    for text, wanted in golden.items():
        body = httpx.post(f"{url}/project/predict", json={"text": [text]}, timeout=60).raise_for_status().json()
        (predictions,) = body if isinstance(body, list) else body["predictions"]
        (got,) = [pair["score"] for pair in predictions if pair["label"] == "POSITIVE"]
        if abs(got - wanted) > tolerance:
            raise WrongAnswers(f"{url} gives a golden text {got}, and it should be {wanted}")


def settle(url: str) -> None:
    """Wait until the stack has finished the last load's work, which would slow the next row.

    Raises:
        WrongAnswers: it answers no new text within SETTLE_S.
    """
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        body = {"text": [f"settled at {time.time_ns()}"]}
        with contextlib.suppress(httpx.TimeoutException):
            if httpx.post(f"{url}/project/predict", json=body, timeout=SETTLE_S).is_success:
                return
        time.sleep(0.2)  # it may refuse while it is still busy
    raise WrongAnswers(f"{url} answers no new text within {SETTLE_S} s after a load")


def memory_of_service() -> dict[str, float]:
    """Resident megabytes of the service's processes, present and peak, by deployment."""
    found: dict[str, float] = {}
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or [])
        if title.startswith("ray::ServeReplica"):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
            name = title.split()[0].rpartition(":")[2]
            found[name] = round(process.memory_info().rss / 1e6)
            found[f"{name} peak"] = round(peak / 1000)
    return found
