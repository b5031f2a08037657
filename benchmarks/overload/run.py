"""The phases: hits alone, the model's peak, a multiple of it, and the peak again, with the same hits in each."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import orjson
import uvloop

from benchmarks.overload.clients import OK, Novelties, Record, ask, ask_and_obey, ask_in_turn, open_loop
from benchmarks.overload.connections import Connections
from benchmarks.overload.cpus import busiest, cpus_during
from benchmarks.texts import COURSE_FIXED


@dataclass(frozen=True)
class Plan:
    """Rates in requests a second, and times in seconds, of the phases."""

    factor: float = 10
    texts: int = 10
    users: int = 16
    hits_rate: float = 100
    idle_s: float = 15
    peak_s: float = 20
    overload_s: float = 60
    fill_s: float = 10
    """Seconds for the queue to fill before goodput is measured, so that equally many requests wait at both ends."""
    returns_s: float = 60


@dataclass(frozen=True)
class Result:
    """The measurements. Peaks and goodput are requests a second that were answered with 200."""

    idle_hits: Record
    hits: Record
    first: Record
    second: Record
    peaks: tuple[float, float]
    """Before and after the overload; otherwise a machine whose speed drifts would distort the goodput."""
    goodput: float
    offered: float
    cpus: list[tuple[str, float, float]]
    """How many CPUs each of the busiest processes used during the overload, and at the peak before it."""

    @property
    def peak(self) -> float:
        """The mean of the two peaks."""
        return sum(self.peaks) / 2


async def run(port: int, plan: Plan) -> Result:
    """Run all phases against the service on this port."""
    go_first()
    connections = Connections(port)
    novelties = Novelties(plan.texts)
    loop = asyncio.get_running_loop()
    # in a separate process: delays of the other clients must not count as the service's
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    await loop.run_in_executor(pool, ask_for_hits, port, plan.hits_rate, 1.0)
    idle_hits = await loop.run_in_executor(pool, ask_for_hits, port, plan.hits_rate, plan.idle_s)

    async def measure_peak() -> tuple[float, dict[str, float]]:
        # in the first seconds the service learns its rate, and connections are opened
        await _closed_loop(connections, novelties, plan.users, plan.peak_s / 4)
        beside = loop.run_in_executor(pool, ask_for_hits, port, plan.hits_rate, plan.peak_s)
        measured = await cpus_during(_closed_loop(connections, novelties, plan.users, plan.peak_s))
        await beside
        return measured

    peak_before, at_peak = await measure_peak()

    first, second = Record(), Record()
    rate = peak_before * plan.factor
    began = time.perf_counter()
    until = began + plan.overload_s + plan.returns_s

    async def measure_goodput() -> float:
        await asyncio.sleep(plan.fill_s)
        before, filled = first.statuses[OK] + second.statuses[OK], time.perf_counter()
        await asyncio.sleep(plan.overload_s - plan.fill_s)
        return (first.statuses[OK] + second.statuses[OK] - before) / (time.perf_counter() - filled)

    hits, _, (goodput, overloaded) = await asyncio.gather(
        loop.run_in_executor(pool, ask_for_hits, port, plan.hits_rate, plan.overload_s),
        open_loop(
            rate,
            plan.overload_s,
            lambda: ask_and_obey(connections, novelties.body(), first, second, until),
        ),
        cpus_during(measure_goodput()),
    )
    offered = sum(first.statuses.values()) / plan.overload_s
    peak_after, _ = await measure_peak()
    connections.close()
    pool.shutdown()
    cpus = [(name, used, at_peak.get(name, 0.0)) for name, used in busiest(overloaded)]
    return Result(idle_hits, hits, first, second, (peak_before, peak_after), goodput, offered, cpus)


def go_first() -> None:
    """Give this process a real-time priority, if the system permits it.

    It represents clients on other machines: on CPUs that it shares with an overloaded service, it would otherwise wait
    to run, and count that as the service's time.
    """
    with contextlib.suppress(AttributeError, PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def ask_for_hits(port: int, rate: float, seconds: float) -> Record:
    """An open loop of requests for cached texts."""
    go_first()
    record = Record()
    body = orjson.dumps({"text": COURSE_FIXED})

    async def run() -> None:
        connections = Connections(port)
        await open_loop(rate, seconds, lambda: ask(connections, body, record))
        connections.close()

    uvloop.run(run())
    return record


async def _closed_loop(connections: Connections, novelties: Novelties, users: int, seconds: float) -> float:
    record = Record()
    began = time.perf_counter()
    await asyncio.gather(*(ask_in_turn(connections, novelties, record, began + seconds) for _ in range(users)))
    return record.statuses[OK] / (time.perf_counter() - began)
