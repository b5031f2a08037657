"""load.js as a user runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.service import REPOSITORY

K6 = shutil.which("k6", path=str(Path(sys.executable).parent)) or "k6"
THRESHOLDS_FAILED = 99
SCRIPT_FAILED = 107
"""k6's exit statuses."""

LOAD = REPOSITORY / "load.js"


def command(url: str, options: Sequence[str], settings: Mapping[str, str], script: Path = LOAD) -> list[str]:
    """A command for four seconds of three users, unless `settings` say otherwise; by default it writes no report."""
    environment = {"BASE_URL": url, "DURATION": "4s", "USERS": "3", "REPORT": "", "SUMMARY": "", **settings}
    named = [part for name, value in environment.items() for part in ("-e", f"{name}={value}")]
    return [K6, "run", "--quiet", "--no-usage-report", *named, *options, str(script)]


def run(command: Sequence[str], folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in that folder."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def load(url: str, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run load.js with these options of k6 and settings of its own."""
    return run(command(url, options, settings))
