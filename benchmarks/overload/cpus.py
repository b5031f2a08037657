"""Which processes use the CPUs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import psutil

from benchmarks.processes import name_of

MOST = 6


def cpu_seconds() -> Mapping[str, float]:
    """CPU seconds of every process so far, by its name in words."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for process in psutil.process_iter():
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        seconds[name_of(process)] += times.user + times.system
    return seconds


def busiest(before: Mapping[str, float], after: Mapping[str, float], elapsed_s: float) -> list[tuple[str, float]]:
    """The names that used the CPUs most between two readings, and how many CPUs each did."""
    used = {name: (seconds - before.get(name, 0.0)) / elapsed_s for name, seconds in after.items()}
    return sorted(used.items(), key=lambda item: -item[1])[:MOST]
