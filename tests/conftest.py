"""What every level shares: the marker taken from the folder, a real Redis server, the data set's place."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.redis_server import RedisServer

REPOSITORY = Path(__file__).resolve().parent.parent
# `make fuzz`: so many cases of each test that generates them, and no end to the search for more
settings.register_profile("fuzz", max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("default", deadline=None)  # a busy machine is no finding
settings.load_profile("default")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {"unit": 0, "integration": 1, "e2e": 2}
    level = {item: item.path.relative_to(Path(__file__).parent).parts[0] for item in items}
    for item in items:
        item.add_marker(level[item])
    # integration shares one Serve, which must be gone before e2e starts its own
    items.sort(key=lambda item: order[level[item]])


@pytest.fixture(autouse=True)
def priority() -> Iterator[None]:
    """No test may lower the priority of this process: what later tests start would inherit it, and answer late."""
    before = _priority()
    yield
    assert _priority() == before


def _priority() -> tuple[int, int]:
    policy = os.sched_getscheduler(0) if sys.platform == "linux" else 0
    return policy, os.getpriority(os.PRIO_PROCESS, 0)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server of the test's own, empty and running."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sst2_dir() -> str:
    """Folder with SST-2's dev.tsv, named by SST2_DIR; the data set is not part of the repository."""
    folder = os.environ.get("SST2_DIR")
    if not folder:
        pytest.skip("SST2_DIR names no folder with SST-2's dev.tsv")
    return folder
