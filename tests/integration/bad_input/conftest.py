"""After each bad input, the next good request succeeds; and all of it is answered in time."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.yardstick import slowdown

DEADLINE_S = 2.0


@pytest.fixture(scope="session")
def deadline_s() -> float:
    """The contract's two seconds, on this machine."""
    return DEADLINE_S * slowdown()


@pytest.fixture(autouse=True)
def next_good_request_succeeds(client: httpx.Client) -> Iterator[None]:
    yield
    assert client.post("/project/predict", json={"text": ["I love you."]}).status_code == 200
