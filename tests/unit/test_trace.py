from __future__ import annotations

import pytest

from benchmarks.trace.__main__ import STAGES, Stamps, stages

ORDER = list(STAGES)[:-1]


def stamps(start: float) -> Stamps:
    return [(start + number / 1000, name) for number, name in enumerate(ORDER, 1)]


def test_each_stage_lasts_from_the_stamp_before() -> None:
    noted = sorted([*stamps(1.0), *stamps(2.0)])
    assert stages((2.0, 2.0 + len(STAGES) / 1000), noted) == pytest.approx([1.0] * len(STAGES))


def test_of_a_pass_on_several_threads_the_last_end_counts() -> None:
    noted = sorted([*stamps(1.0), (1.0 + (ORDER.index("passed") + 0.5) / 1000, "passed")])
    steps = stages((1.0, 1.0 + len(STAGES) / 1000), noted)
    assert steps == pytest.approx([1.0] * len(STAGES))


def test_a_request_without_all_stamps_counts_for_nothing() -> None:
    assert stages((1.0, 2.0), [each for each in stamps(1.0) if each[1] != "pass"]) is None
