"""A service that answers nothing is what `make overload` and `make abuse` report, not what they fail on."""

from __future__ import annotations

import math
import time
from collections import Counter

import psutil
import pytest

from benchmarks.abuse.__main__ import _gib, _rows
from benchmarks.abuse.honest import Seen
from benchmarks.overload.__main__ import report
from benchmarks.overload.clients import Novelties, Record, ask_in_turn
from benchmarks.overload.connections import NONE, Connections
from benchmarks.overload.run import Plan, Result
from serve_app.local.ports import free_port


def test_of_no_200_there_is_no_percentile() -> None:
    assert math.isnan(Record().percentile_ms(99))
    assert Record(times=[0.1, 0.2]).percentile_ms(99) == pytest.approx(200)


def test_an_overload_without_answers_misses_its_bars() -> None:
    hits = Record(statuses=Counter({0: 3}))
    result = Result(Record(), hits, Record(), Record(), peaks=(0.0, 0.0), goodput=0.0, offered=0.0, cpus=[])
    rows = {row[0]: row[3] for row in report(result, Plan())}
    for name in ("statuses, hits", "goodput / peak", "p99 of hits, ms", "second tries that succeed"):
        assert rows[name] is False, name


def test_abuse_without_answers_misses_its_bars() -> None:
    rows = {row[0]: row[3] for row in _rows(Seen(), Seen(), 0.1, [1.0])}
    assert not rows["p99 of hits, ms"]
    assert not rows["statuses of hits"]
    assert not rows["health"]


def test_the_memory_of_a_service_that_crashed_is_none() -> None:
    service = psutil.Popen(["true"])
    service.wait()
    assert _gib(service) == 0


async def test_a_connection_that_is_refused_is_no_answer() -> None:
    connections = Connections(free_port())
    assert await connections.post(b"{}") == NONE
    record = Record()
    await ask_in_turn(connections, Novelties(1), record, time.perf_counter() + 0.3)
    assert record.failed == record.statuses[0] <= 4, "a service that is gone is not asked all the time"
