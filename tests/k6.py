"""load.js as a user runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.service import REPOSITORY

K6 = shutil.which("k6", path=str(Path(sys.executable).parent)) or "k6"
THRESHOLDS_FAILED = 99
"""k6's exit status."""


def load(url: str, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Four seconds of three users, or as `settings` say; no report is written unless they name one."""
    environment = {"BASE_URL": url, "DURATION": "4s", "USERS": "3", "REPORT": "", "SUMMARY": "", **settings}
    named = [part for name, value in environment.items() for part in ("-e", f"{name}={value}")]
    command = [K6, "run", "--quiet", "--no-usage-report", *named, *options, "load.js"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
