"""End in good order: health says 503 first, then those who are being answered get their answers."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from urllib.error import URLError

from serve_app.local.loopback import ask

LONGEST_S = 25.0
_LOOK_S = 0.1


def drain(file: Path, seconds: float, stats_port: int) -> None:
    """Create the file at which health turns 503, wait so long, and then until HAProxy has no request under way.

    The seconds are for those who balance load to see it. Requests that take longer than LONGEST_S are not waited for.
    """
    file.touch()
    time.sleep(seconds)
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline and under_way(stats_port):
        time.sleep(_LOOK_S)


def under_way(stats_port: int) -> int:
    """Requests that HAProxy has sent to an ingress replica and not yet answered; none where HAProxy is gone."""
    try:
        with ask(f"http://127.0.0.1:{stats_port}/stats;csv", 2) as answer:
            rows = list(csv.DictReader(line.decode().removeprefix("# ") for line in answer))
    except (URLError, OSError):
        return 0
    return sum(int(row["scur"]) for row in rows if row["svname"] == "BACKEND" and row["pxname"] != "stats")
