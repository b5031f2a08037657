"""Separates the clients' CPUs from the service's, and measures which processes use CPUs."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Mapping
from typing import TypeVar

import psutil

from benchmarks.processes import name_of

MAX_NAMES = 6

T = TypeVar("T")


def split_cpus() -> tuple[set[int], set[int]]:
    """CPUs for the service, and one for its clients; both get all if there is only one, or no affinity.

    Clients on the service's CPUs interrupt the ingress thousands of times a second, and the kernel then runs the engine
    before the ingress goes on, which clients on other machines would not cause.
    """
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    cpus = sorted(os.sched_getaffinity(0))
    return (set(cpus[:-1]), set(cpus[-1:])) if len(cpus) > 1 else (set(cpus), set(cpus))


def move_to(cpus: set[int]) -> None:
    """Run this process, and its later children, on these CPUs; change nothing if there are none."""
    if cpus:
        os.sched_setaffinity(0, cpus)


def cpu_seconds() -> Mapping[str, float]:
    """CPU seconds of every process so far, by its name in words."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for process in psutil.process_iter():
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        seconds[name_of(process)] += times.user + times.system
    return seconds


async def cpus_during(work: Awaitable[T]) -> tuple[T, dict[str, float]]:
    """The work's result, and how many CPUs each process used meanwhile, by its name in words."""
    began, before = time.perf_counter(), await asyncio.to_thread(cpu_seconds)
    result = await work
    elapsed_s, after = time.perf_counter() - began, await asyncio.to_thread(cpu_seconds)
    return result, {name: (seconds - before.get(name, 0.0)) / elapsed_s for name, seconds in after.items()}


def busiest(used: Mapping[str, float]) -> list[tuple[str, float]]:
    """The names with the highest use of CPUs, and how many they used."""
    return sorted(used.items(), key=lambda item: -item[1])[:MAX_NAMES]
