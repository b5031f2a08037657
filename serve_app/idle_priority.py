"""Run threads at idle priority, so that threads that answer callers go first."""

from __future__ import annotations

import contextlib
import os
import sys

NICENESS = 10
"""Niceness added to the engine's threads, which matters only if SCHED_IDLE is forbidden."""


def run_at_idle_priority() -> None:
    """Run this thread at idle priority (SCHED_IDLE).

    The CPU is shared with processes that run in short bursts, such as an ingress. With SCHED_IDLE such a burst begins
    at once; with mere niceness it would wait until this thread's time slice ends.
    """
    if sys.platform == "linux":  # only there each thread has its own policy
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
        with contextlib.suppress(PermissionError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
