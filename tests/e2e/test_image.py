"""The built image: no network but loopback, a read-only root, no capability, and it predicts."""

from __future__ import annotations

import os

import pytest

from benchmarks.containers import ImageError, find_builder
from benchmarks.image import measure

MAX_MB_BESIDES_MODELS = 1200


def test_the_image_predicts_without_network_capabilities_or_a_writable_root() -> None:
    try:
        found = measure(os.environ.get("IMAGE", "project:dev"), find_builder())
    except ImageError as error:
        if "IMAGE" in os.environ or "did not answer" in str(error):
            raise
        pytest.skip(str(error))
    labels = [answer[0]["label"] for answer in found["body"]["predictions"]]
    assert labels == ["POSITIVE", "NEGATIVE"]
    assert found["interfaces"] == ["lo"]
    assert found["user"] == 1000
    assert not found["root_is_writable"]
    assert found["capabilities"] == 0
    assert found["stopped_with"] == 128 + 15
    assert found["total_mb"] - found["models_mb"] <= MAX_MB_BESIDES_MODELS
