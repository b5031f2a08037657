"""fp32 for all tests of this folder, so that none needs an export."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_PRECISION", "fp32")
