"""After each bad input, the next good request succeeds."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture(autouse=True)
def next_good_request_succeeds(client: httpx.Client) -> Iterator[None]:
    yield
    assert client.post("/project/predict", json={"text": ["I love you."]}).status_code == 200
