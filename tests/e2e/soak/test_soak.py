"""The detector of leaks, on lines with noise and on a process that really leaks."""

from __future__ import annotations

import random
import subprocess
import sys

import psutil
import pytest

from tests.e2e.soak.sampler import Sampler
from tests.e2e.soak.trends import Sample, trend
from tests.support.wait import until


def samples(mb_per_hour: float = 0.0, files_per_hour: float = 0.0, noise: float = 1.0) -> list[Sample]:
    chance = random.Random(1)
    return [
        Sample(at, 200 + mb_per_hour * at / 3600 + chance.uniform(-noise, noise), int(40 + files_per_hour * at / 3600))
        for at in range(150, 600, 5)
    ]


@pytest.mark.parametrize("mb_per_hour", [-30, 0, 5])
def test_noise_is_no_leak(mb_per_hour: float) -> None:
    assert trend("steady", samples(mb_per_hour)).missed == []


@pytest.mark.parametrize("mb_per_hour", [35, 500])
def test_a_leak_is_seen_through_noise(mb_per_hour: float) -> None:
    found = trend("leaky", samples(mb_per_hour))
    assert found.mb_per_hour == pytest.approx(mb_per_hour, abs=10)
    assert len(found.missed) == 1


def test_lost_files_are_seen() -> None:
    (missed,) = trend("leaky", samples(files_per_hour=60)).missed
    assert missed.startswith("open files grow from 4")


def test_a_process_that_leaks_is_caught() -> None:
    process = subprocess.Popen([sys.executable, "-m", "tests.e2e.soak.leaky", "500"])
    try:
        sampler = Sampler(psutil.Process(process.pid))
        root = psutil.Process(process.pid)
        until(lambda: root.memory_info().rss > 10e6, "it leaks")
        for _ in range(12):
            before = root.num_fds()
            sampler.sample()
            until(lambda before=before: root.num_fds() > before, "another file is lost")  # type: ignore[misc]
        (found,) = sampler.trends(warm_up_s=1.0)
        assert len(found.missed) == 2, found
        assert found.name == "tests.e2e.soak.leaky"
    finally:
        process.kill()
        process.wait()
