"""One real Serve in HAProxy mode for the whole session, with a real Redis behind it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.sync_api import Browser

from benchmarks.browser import ABSENT, chromium, find_chromium
from serve_app.settings import Settings
from tests.kubernetes_api.server import KubernetesApi
from tests.support.ingress_parts import Make, Replica
from tests.support.kuberay_commands import Commands, write_overlay
from tests.support.machine_speed import slowdown
from tests.support.redis_server import RedisServer
from tests.support.service import Service

BODY_TIMEOUT_S = 5.0
DEADLINE_S = 2.0


@pytest.fixture(scope="session")
def deadline_s() -> float:
    """The contract's two seconds for bad input, on this machine."""
    return DEADLINE_S * slowdown()


@pytest.fixture(scope="session")
def body_timeout_s() -> float:
    """What the service waits for a body."""
    return BODY_TIMEOUT_S


@pytest.fixture(scope="package")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@contextlib.contextmanager
def running(folder: Path, redis: RedisServer, **environment: str) -> Iterator[Service]:
    """A service with this Redis and these variables, in fp32 and with a short time for bodies."""
    service = Service(
        folder,
        Path(sys.executable),
        REDIS_URL=redis.url,
        SENTIMENT_PRECISION="fp32",
        SENTIMENT_BODY_TIMEOUT_S=str(BODY_TIMEOUT_S),
        **environment,
    )
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="package")
def service(shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("serve"), shared_redis, SENTIMENT_REDIS_PROBE_S="0.2") as service:
        yield service


@pytest.fixture(scope="package")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


@pytest.fixture
def commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    """`python -m kuberay` with an empty API server and a small overlay of the test's own."""
    api = KubernetesApi(tmp_path)
    yield Commands(api, write_overlay(tmp_path), capsys)
    api.shutdown()
    api.server_close()


@pytest.fixture(
    scope="module"
)  # its event loop runs on between calls, which the asynchronous tests of others would meet
def browser() -> Iterator[Browser]:
    """A headless Chromium; a machine without one skips the test (`.ci/run` makes sure that there is one)."""
    if find_chromium() is None:
        pytest.skip(ABSENT)
    with chromium() as browser:
        yield browser


@pytest_asyncio.fixture
async def replica() -> AsyncIterator[Make]:
    """Makes ingress parts with some settings, and closes them."""
    made: list[Replica] = []

    def make(**settings: object) -> Replica:
        made.append(Replica(Settings.model_validate({"redis_probe_s": 0.02, **settings})))
        return made[-1]

    yield make
    for each in made:
        await each.predictor.close()
