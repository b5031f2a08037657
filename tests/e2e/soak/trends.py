"""Whether a process grows: straight lines through its memory, and its open files at the start and at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

MAX_MB_PER_HOUR = 20.0
MAX_FILES_MORE = 2
"""Connections come and go; more than this above the first third's median is growth."""


@dataclass(frozen=True)
class Sample:
    """One process at one time."""

    at_s: float
    megabytes: float
    files: int


@dataclass(frozen=True)
class Trend:
    """How a process developed after the warm-up."""

    name: str
    megabytes: tuple[float, float]
    mb_per_hour: float
    files: tuple[float, float]

    @property
    def missed(self) -> list[str]:
        """The bars that it misses."""
        missed = []
        if self.mb_per_hour > MAX_MB_PER_HOUR:
            missed.append(f"memory grows by {self.mb_per_hour:.0f} MB/h")
        if self.files[1] > self.files[0] + MAX_FILES_MORE:
            missed.append(f"open files grow from {self.files[0]:.0f} to {self.files[1]:.0f}")
        return missed


def trend(name: str, samples: Sequence[Sample]) -> Trend:
    """Least squares through the memory, and the medians of the first and the last third of all else."""
    times = np.array([sample.at_s for sample in samples])
    memory = np.array([sample.megabytes for sample in samples])
    slope = float(np.polyfit(times - times[0], memory, 1)[0])
    third = max(1, len(samples) // 3)
    ends = samples[:third], samples[-third:]
    megabytes, files = (
        tuple(median(getattr(sample, field) for sample in end) for end in ends) for field in ("megabytes", "files")
    )
    return Trend(name, (megabytes[0], megabytes[1]), slope * 3600, (files[0], files[1]))
