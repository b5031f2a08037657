"""Health is the model's, not the process's: also while it is frozen, gone and back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from serve_app.identity import Identity
from serve_app.metrics import Metrics
from serve_app.predict.health import PROBE_TEXT, HealthMonitor
from serve_app.settings import Settings
from tests.support.fakes import FakeModel
from tests.support.wait import until_async

QUICK = Settings(health_probe_s=0.02, health_max_age_s=0.1)


async def test_a_drain_file_that_cannot_be_looked_for_is_none(tmp_path: Path) -> None:
    model = FakeModel()
    await model.classify(["a"])
    settings = Settings(drain_file=tmp_path / ("x" * 300))
    assert HealthMonitor(model, settings, Metrics()).unhealthy_reason() is None


async def test_it_asks_the_model_where_traffic_does_not_tell() -> None:
    model = FakeModel()
    monitor = HealthMonitor(model, QUICK, Metrics())
    assert "starting" in str(monitor.unhealthy_reason())
    monitor.start()
    await until_async(lambda: monitor.unhealthy_reason() is None, "it is healthy")
    assert model.calls[0] == [PROBE_TEXT]
    await monitor.close()


async def test_a_frozen_model_is_unhealthy_and_one_that_is_back_is_healthy() -> None:
    model = FakeModel()
    monitor = HealthMonitor(model, QUICK, Metrics())
    monitor.start()
    await until_async(lambda: monitor.unhealthy_reason() is None, "it is healthy")
    model.gate.clear()
    await until_async(monitor.unhealthy_reason, "it is unhealthy")
    assert "no prediction has succeeded for" in str(monitor.unhealthy_reason())
    model.gate.set()
    await until_async(lambda: monitor.unhealthy_reason() is None, "it is healthy again")
    await monitor.close()


async def test_a_broken_model_is_unhealthy() -> None:
    model = FakeModel()
    model.broken = True
    monitor = HealthMonitor(model, QUICK, Metrics())
    monitor.start()
    await until_async(lambda: len(model.calls) >= 3, "it was asked more than once")
    assert monitor.unhealthy_reason() is not None
    await monitor.close()


async def test_real_traffic_spares_the_probe() -> None:
    model = FakeModel()
    monitor = HealthMonitor(model, Settings(health_probe_s=5, health_max_age_s=10), Metrics())
    await model.classify(["a real request"])
    monitor.start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert monitor.unhealthy_reason() is None
    assert model.calls == [["a real request"]]
    await monitor.close()


async def test_a_model_that_no_traffic_reaches_is_asked_within_a_period_and_said_to_have_answered() -> None:
    model = FakeModel()
    seen: list[tuple[Identity, float]] = []
    monitor = HealthMonitor(
        model, Settings(health_probe_s=0.5, health_max_age_s=5), Metrics(), lambda *saw: seen.append(saw)
    )
    await model.classify(["a real request"])
    monitor.start()
    clock = asyncio.get_running_loop().time
    started = clock()
    await until_async(lambda: clock() > started + 0.2, "a part of the period is over")
    await model.classify(["the last real request"])
    began = clock()
    await until_async(lambda: seen, "the probe was answered")
    assert 0.45 < clock() - began < 0.75
    ((identity, at),) = seen
    assert identity == model.identity
    assert began < at < model.last_success  # type: ignore[operator]
    await monitor.close()


async def test_a_replica_of_a_new_version_has_started_once_the_model_has_answered() -> None:
    model = FakeModel()
    model.broken = True
    monitor = HealthMonitor(model, QUICK, Metrics())
    started = asyncio.create_task(monitor.first_answer(lambda: True))
    await until_async(lambda: len(model.calls) >= 3, "it was asked more than once")
    assert not started.done()
    model.broken = False
    await asyncio.wait_for(started, 5)
    assert monitor.unhealthy_reason() is None


async def test_a_replica_of_a_version_that_ran_starts_without_the_model() -> None:
    model = FakeModel()
    model.broken = True
    await asyncio.wait_for(HealthMonitor(model, QUICK, Metrics()).first_answer(lambda: False), 5)
