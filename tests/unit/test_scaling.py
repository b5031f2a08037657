"""How many classifiers the work is enough for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.serve.config import AutoscalingContext, AutoscalingPolicy

from serve_app.scaling import WORK, classifiers_by_work


def context(*work: float, target: int = 2) -> AutoscalingContext:
    reported = {f"replica {number}": each for number, each in enumerate(work)}
    given: Any = SimpleNamespace(aggregated_metrics={WORK: reported} if work else {}, target_num_replicas=target)
    return cast("AutoscalingContext", given)


@pytest.mark.parametrize(
    ("work", "wanted"), [((0.0, 0.0), 1), ((0.5, 0.5), 2), ((1.0, 1.0), 3), ((2.0, 2.0), 6), ((10.0, 10.0), 29)]
)
def test_there_are_as_many_as_the_work_keeps_seven_tenths_busy(work: tuple[float, ...], wanted: int) -> None:
    assert classifiers_by_work(context(*work)) == (wanted, {})


def test_before_the_first_report_nothing_changes() -> None:
    assert classifiers_by_work(context(target=3)) == (3, {})


def test_serve_finds_the_policy_by_its_public_path() -> None:
    policy = AutoscalingPolicy(policy_function="serve_app.scaling:classifiers_by_work")  # type: ignore[no-untyped-call]
    policy.serialize_policy()
    assert policy.get_policy()(context(1.4)) == (2, {})
