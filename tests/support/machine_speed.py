"""How much slower this machine is now than the one whose seconds the tests name."""

from __future__ import annotations

import subprocess
import sys
import time

IMPORT_S = 1.3
"""What `import ray.serve` takes on the quiet two-core machine where the bars in seconds were set."""


def slowdown() -> float:
    """One or more: a bar in seconds times this is what a shared or throttled machine has to hold."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import ray.serve"], check=True)
    return max(1.0, (time.monotonic() - began) / IMPORT_S)
