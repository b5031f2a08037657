"""Every test of the contract and of clients once more, behind Serve, as with a Ray that has no middleware."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.conftest import running
from tests.integration.test_clients import *  # noqa: F403
from tests.integration.test_contract import *  # noqa: F403
from tests.support.redis_server import RedisServer
from tests.support.service import Service


@pytest.fixture(scope="module")
def service(shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service of the other modules, except for the switch."""
    folder = tmp_path_factory.mktemp("behind")
    with running(folder, shared_redis, RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH="") as service:
        yield service


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


def test_the_log_says_in_one_line_why(service: Service) -> None:
    (line,) = {
        line.partition("WARNING")[2] for line in service.log.read_text().splitlines() if "pass through Serve" in line
    }
    assert "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH is not serve_app.web.before_serve:middlewares" in line


def test_serve_handles_these_requests(client: httpx.Client) -> None:
    """Its ids have hyphens, and ours have none."""
    assert client.post("/project/predict", json={"text": []}).headers["x-request-id"].count("-") == 4
