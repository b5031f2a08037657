"""One fault under load, from a whole service to a whole one, as a row of the table."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchmarks.texts import COURSE_POOL
from serve_app.settings import MINI_MODEL
from tests.e2e.chaos.disconnects import disconnect, good_requests
from tests.e2e.chaos.faults import Fault, nothing, other_model
from tests.e2e.chaos.stage import Stage
from tests.support.course_load import CourseLoad, Report
from tests.support.golden import golden, new_texts

BEFORE_S = 2.0
AFTER_S = 2.0
NEW_TEXTS = 1500


@dataclass(frozen=True)
class Row:
    """What a fault cost. `kinds` says of the failed requests what came instead of a 200."""

    fault: str
    requests: int
    failed: int
    kinds: dict[str, int]
    wrong: int
    slowest_s: float
    recovery_s: float
    models: int
    missed: tuple[str, ...]


async def measure(stage: Stage, fault: Fault, seed: int) -> Row:
    """Put the load on, do the fault, undo it, and wait until the service is whole, and then some."""
    new = new_texts(NEW_TEXTS, seed)
    stage.texts = new
    texts = [*COURSE_POOL, *new]
    models = [golden(model, texts) for model in (MINI_MODEL, other_model(stage.folder))]
    async with CourseLoad(stage.service.url, models, new) as load:
        await asyncio.sleep(BEFORE_S)
        at = time.monotonic()
        await asyncio.to_thread(fault.do, stage)
        await asyncio.sleep(fault.hold_s)
        await asyncio.to_thread(fault.undo, stage)
        await asyncio.to_thread(stage.wait_until_whole)
        await asyncio.sleep(AFTER_S)
    return row(fault, load.report, at)


async def measure_disconnects(stage: Stage, number: int, good: int) -> Row:
    """So many clients that go, then so many good requests: the row is theirs."""
    at = time.monotonic()
    await disconnect(stage.service.port, number, seed=100)
    report = await good_requests(stage.service.url, good, seed=101)
    return row(Fault(f"{number:,} clients gone, then {good:,} good requests", nothing), report, at)


def row(fault: Fault, report: Report, at: float) -> Row:
    """What the fault at that time cost, and which of its bars it misses."""
    recovery_s = report.recovery_s(at)
    missed = []
    if report.wrong:
        missed.append("0 wrong")
    if report.failures and not fault.may_fail:
        missed.append("0 failed")
    if fault.most_slowest_s is not None and report.slowest_s > fault.most_slowest_s:
        missed.append(f"slowest <= {fault.most_slowest_s:g} s")
    if fault.most_recovery_s is not None and recovery_s > fault.most_recovery_s:
        missed.append(f"recovery <= {fault.most_recovery_s:g} s")
    return Row(
        fault.name,
        report.requests,
        report.failed,
        dict(report.failures),
        report.wrong,
        round(report.slowest_s, 3),
        round(recovery_s, 2),
        len(report.by_model),
        tuple(missed),
    )
