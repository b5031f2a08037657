"""No export is needed to look at files."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_PRECISION", "fp32")
