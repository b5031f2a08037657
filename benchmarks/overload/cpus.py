"""Which processes use the CPUs."""

from __future__ import annotations

from collections import Counter

import psutil

from benchmarks.processes import name_of

MOST = 6


def cpu_seconds() -> Counter[str]:
    """CPU seconds of every process so far, by its name in words."""
    seconds: Counter[str] = Counter()
    for process in psutil.process_iter():
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        seconds[name_of(process)] += times.user + times.system
    return seconds


def busiest(before: Counter[str], after: Counter[str], elapsed_s: float) -> list[tuple[str, float]]:
    """The names that used the CPUs most between two readings, and how many CPUs each did."""
    return [(name, seconds / elapsed_s) for name, seconds in (after - before).most_common(MOST)]
