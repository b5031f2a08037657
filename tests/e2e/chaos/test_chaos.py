"""A short round of faults under load; `make chaos` runs all of them, and holds them to their seconds."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.chaos.faults import FAULTS, Fault
from tests.e2e.chaos.measure import measure, measure_disconnects
from tests.e2e.chaos.stage import Stage
from tests.support.course_load import USERS

SHORT = {
    "model replica killed",
    "ingress replica killed",
    "HAProxy killed",
    "Redis black-holed",
    "Redis password changed",
    "Redis full of garbage",
}
CHOSEN = [dataclasses.replace(fault, hold_s=1) for fault in FAULTS if fault.name in SHORT]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        stage = Stage(Path(folder))
        try:
            stage.start()
            yield stage
        finally:
            stage.stop()


def test_every_fault_of_the_short_round_exists() -> None:
    assert len(CHOSEN) == len(SHORT)


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.name)
async def test_a_fault_gives_no_wrong_answer_and_ends(stage: Stage, fault: Fault) -> None:
    row = await measure(stage, fault, seed=CHOSEN.index(fault))
    assert row.requests > USERS
    assert row.wrong == 0, row
    assert sum(row.kinds.values()) == row.failed < row.requests, row
    if fault.name.startswith("Redis"):
        assert row.failed == 0, row
    elif not fault.may_fail:
        assert row.failed <= USERS, f"at most what was in flight: {row}"


async def test_clients_that_go_harm_nobody(stage: Stage) -> None:
    row = await measure_disconnects(stage, 500, 50)
    assert (row.requests, row.failed, row.wrong) == (50, 0, 0), row
