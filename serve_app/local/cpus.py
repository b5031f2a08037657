"""How many CPUs this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus(limit: Path = CGROUP) -> int:
    """The CPUs of the process' affinity or of the container's limit, whichever is less; at least 1.

    A container's limit is the quota in cgroup v2's `cpu.max`, rounded down: an engine with more threads than its quota
    would be throttled in every batch.
    """
    machine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = limit.read_text(encoding="ascii").split()
        allowed = math.floor(int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        return machine
    return max(1, min(machine, allowed))
