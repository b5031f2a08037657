"""How much slower this machine is now than the one on which the tests' limits in seconds were set."""

from __future__ import annotations

import subprocess
import sys
import time

IMPORT_S = 1.3
"""Time of `import ray.serve` on the idle two-core machine on which the limits were set."""


def slowdown() -> float:
    """At least 1: the factor on a limit in seconds for a shared or throttled machine."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import ray.serve"], check=True)
    return max(1.0, (time.monotonic() - began) / IMPORT_S)
