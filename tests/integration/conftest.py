"""One real Serve in HAProxy mode for the whole session, with a real Redis behind it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.redis_server import RedisServer
from tests.service import Service


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def service(shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(
        tmp_path_factory.mktemp("serve"),
        REDIS_URL=shared_redis.url,
        SENTIMENT_REDIS_PROBE_S="0.2",
        SENTIMENT_PRECISION="fp32",
    )
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client
