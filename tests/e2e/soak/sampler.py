"""Samples of all processes that a process started, by process."""

from __future__ import annotations

import time

import psutil

from benchmarks.processes import name_of
from tests.e2e.soak.trends import Sample, Trend, trend

MIN_SAMPLES = 6


class Sampler:
    """Memory with shared pages in equal parts, as a container's limit counts it, and open files."""

    def __init__(self, *roots: psutil.Process) -> None:
        self._roots = roots
        self._began = time.monotonic()
        self.samples: dict[psutil.Process, list[Sample]] = {}
        self.names: dict[psutil.Process, str] = {}
        """What each was called when last seen: Ray's workers take their names late, and what has ended has none."""

    def sample(self) -> None:
        """Look at every process that is there now."""
        for root in self._roots:
            for process in [root, *root.children(recursive=True)]:
                try:
                    memory, files = process.memory_full_info().pss / 1e6, process.num_fds()
                except psutil.Error:
                    continue
                now = Sample(time.monotonic() - self._began, memory, files)
                self.samples.setdefault(process, []).append(now)
                self.names[process] = name_of(process)

    def trends(self, warm_up_s: float) -> list[Trend]:
        """What became of each process that was there from the end of the warm-up to the last sample."""
        found = []
        last = max(samples[-1].at_s for samples in self.samples.values())
        for process, samples in self.samples.items():
            after = [sample for sample in samples if sample.at_s >= warm_up_s]
            whole = after and samples[0].at_s <= warm_up_s and after[-1].at_s > last - 60
            if whole and len(after) >= MIN_SAMPLES and process.is_running():
                found.append(trend(self.names[process], after))
        return sorted(found, key=lambda each: -each.mb_per_hour)
