"""How many replicas the work is enough for."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from serve_app.scaling import LOAD, Meter, replicas_by_load
from tests.support.service import REPOSITORY
from tests.support.wait import until

CONFIG = yaml.safe_load((REPOSITORY / "serve_config.yaml").read_text(encoding="utf-8"))


def context(*shares: float, target: int = 2) -> AutoscalingContext:
    reported = {f"replica {number}": each for number, each in enumerate(shares)}
    given: Any = SimpleNamespace(aggregated_metrics={LOAD: reported} if shares else {}, target_num_replicas=target)
    return cast("AutoscalingContext", given)


@pytest.mark.parametrize(
    ("work", "wanted"), [((0.0, 0.0), 1), ((0.5, 0.5), 2), ((1.0, 1.0), 3), ((2.0, 2.0), 6), ((10.0, 10.0), 29)]
)
def test_there_are_as_many_as_are_busy_for_seven_tenths(work: tuple[float, ...], wanted: int) -> None:
    assert replicas_by_load(context(*work)) == (wanted, {})


def test_before_the_first_report_nothing_changes() -> None:
    assert replicas_by_load(context(target=3)) == (3, {})


@pytest.mark.parametrize("deployment", CONFIG["applications"][0]["deployments"], ids=lambda each: each["name"])
def test_serve_finds_each_policy_by_its_public_path(deployment: dict[str, Any]) -> None:
    scaling = AutoscalingConfig.model_validate(deployment["autoscaling_config"])
    scaling.policy.serialize_policy()
    assert scaling.policy.get_policy().__name__ == replicas_by_load.__name__
    # what a report takes to count is stated, since Serve's defaults may change, and is well within half a minute
    stated = {"metrics_interval_s", "look_back_period_s", "upscale_delay_s"}
    assert stated <= deployment["autoscaling_config"].keys()
    assert scaling.metrics_interval_s + scaling.upscale_delay_s <= 15


def test_the_meter_returns_the_share_since_the_last_call() -> None:
    now, used = [100.0], [7.0]
    meter = Meter(lambda: used[0], lambda: now[0])
    now[0], used[0] = 104.0, 8.0
    assert meter.share() == pytest.approx(0.25)
    now[0], used[0] = 106.0, 10.0
    assert meter.share() == pytest.approx(1.0)


@pytest.mark.slow
def test_the_meter_sees_this_process_work_and_rest() -> None:
    meter = Meter(time.process_time)
    enough = time.process_time() + 0.2
    until(lambda: sum(range(10_000)) and time.process_time() > enough, "the process has worked")
    worked = meter.share()
    threading.Event().wait(0.2)
    assert meter.share() < worked
