"""Let threads that compute stand back behind those that answer."""

from __future__ import annotations

import contextlib
import os
import sys

NICENESS = 10
"""How much the engine's threads stand back behind everything else where SCHED_IDLE is forbidden."""


def take_idle_priority() -> None:
    """Run this thread, and those that it starts, at idle priority.

    What shares the CPU, as an ingress does, works for a moment at a time. SCHED_IDLE lets it begin that moment at once,
    where a low priority would first let this thread finish its slice.
    """
    if sys.platform == "linux":  # where each thread has a policy of its own
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
        with contextlib.suppress(PermissionError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
