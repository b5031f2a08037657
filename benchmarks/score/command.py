"""The command itself, measured: how fast its rows come, and how much memory its processes have together."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from serve_app.score.errors import ScoreError
from serve_app.score.job import LOCAL, SCORING, Job
from serve_app.score.launch import child

SAMPLE_S = 1.0


@dataclass(frozen=True)
class Measured:
    """One run."""

    rows: int
    rows_per_s: float
    """From the moment at which a worker has its model until the last part is written."""
    seconds: float
    """With the start of Ray and putting the parts together."""
    peak_mb: float
    """Peak of all processes' memory together, pages that are shared counted once (PSS)."""


def run(
    source: Path,
    output: Path,
    environment: dict[str, str],
    *,
    workers: int | None = None,
    threads: int = 1,
    address: str = LOCAL,
) -> Measured:
    """Score the file.

    Raises:
        ScoreError: the command failed.
    """
    output.unlink(missing_ok=True)
    began = time.monotonic()
    first = last = began
    rows = 0
    with child(
        Job(str(source), str(output), address=address, workers=workers, threads=threads), environment
    ) as process:
        memory = Memory()
        for event in process.events():
            if "error" in event:
                raise ScoreError(event["error"])
            if event.get("stage") == SCORING:
                first = time.monotonic()
            if "progress" in event:
                last, rows = time.monotonic(), event["progress"]["rows"]
        if process.status:
            raise ScoreError(process.last_lines())
        peak = memory.stop()
    seconds = time.monotonic() - began
    return Measured(rows, rows / (last - first), seconds, peak / 1e6)


class Memory:
    """Samples the memory of this process' descendants, and of itself, until `stop`."""

    def __init__(self) -> None:
        self._peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The peak, in bytes."""
        self._stop.set()
        self._thread.join()
        return self._peak

    def _sample(self) -> None:
        own = psutil.Process()
        while not self._stop.wait(SAMPLE_S):
            self._peak = max(self._peak, sum(map(_pss, [own, *own.children(recursive=True)])))


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
