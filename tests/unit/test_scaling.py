"""How many replicas the work is enough for."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from serve_app.scaling import LOAD, WORK, CpuMeter, classifiers_by_work, ingresses_by_load
from tests.service import REPOSITORY
from tests.wait import until

CONFIG = yaml.safe_load((REPOSITORY / "serve_config.yaml").read_text(encoding="utf-8"))
POLICIES = {WORK: classifiers_by_work, LOAD: ingresses_by_load}


def context(name: str, *shares: float, target: int = 2) -> AutoscalingContext:
    reported = {f"replica {number}": each for number, each in enumerate(shares)}
    given: Any = SimpleNamespace(aggregated_metrics={name: reported} if shares else {}, target_num_replicas=target)
    return cast("AutoscalingContext", given)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize(
    ("work", "wanted"), [((0.0, 0.0), 1), ((0.5, 0.5), 2), ((1.0, 1.0), 3), ((2.0, 2.0), 6), ((10.0, 10.0), 29)]
)
def test_there_are_as_many_as_are_busy_for_seven_tenths(name: str, work: tuple[float, ...], wanted: int) -> None:
    assert POLICIES[name](context(name, *work)) == (wanted, {})


@pytest.mark.parametrize("name", POLICIES)
def test_before_the_first_report_nothing_changes(name: str) -> None:
    assert POLICIES[name](context(name, target=3)) == (3, {})


@pytest.mark.parametrize("deployment", CONFIG["applications"][0]["deployments"], ids=lambda each: each["name"])
def test_serve_finds_each_policy_by_its_public_path(deployment: dict[str, Any]) -> None:
    scaling = AutoscalingConfig.model_validate(deployment["autoscaling_config"])
    scaling.policy.serialize_policy()
    wanted = {"ingress": ingresses_by_load, "classifier": classifiers_by_work}[deployment["name"]]
    assert scaling.policy.get_policy().__name__ == wanted.__name__
    # what a report takes to count is stated, since Serve's defaults may change, and is well within half a minute
    stated = {"metrics_interval_s", "look_back_period_s", "upscale_delay_s"}
    assert stated <= deployment["autoscaling_config"].keys()
    assert scaling.metrics_interval_s + scaling.upscale_delay_s <= 15


def test_the_meter_tells_the_share_since_it_was_last_asked() -> None:
    now, used = [100.0], [7.0]
    meter = CpuMeter(lambda: now[0], lambda: used[0])
    now[0], used[0] = 104.0, 8.0
    assert meter.share() == pytest.approx(0.25)
    now[0], used[0] = 106.0, 10.0
    assert meter.share() == pytest.approx(1.0)


def test_the_meter_sees_this_process_work_and_rest() -> None:
    meter = CpuMeter()
    enough = time.process_time() + 0.2
    until(lambda: sum(range(10_000)) and time.process_time() > enough, "the process has worked")
    worked = meter.share()
    threading.Event().wait(0.2)
    assert meter.share() < worked
