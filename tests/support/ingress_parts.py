"""The parts of an ingress replica between a request and Redis, with a fake model."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from serve_app.cache.redis import open_redis
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission
from serve_app.predict.predictor import Predictor
from serve_app.settings import Settings
from tests.support.fakes import FakeModel


class Replica:
    """A predictor with the real Redis tier of these settings."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self.metrics = metrics or Metrics()
        self.model = FakeModel()
        self.predictor = Predictor(
            self.model,
            open_redis(settings, self.metrics),
            Admission(settings, self.metrics),
            100,
            self.metrics,
        )

    @property
    def up(self) -> float | None:
        """The gauge sentiment_redis_up; None while that is not known."""
        return self.metrics.redis_up.value

    async def hit(self, text: str = "a") -> int:
        """Predict the text; 1 if it was a hit, otherwise 0."""
        return (await self.predictor.predict([text])).hit


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings in the log."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


Make = Callable[..., Replica]
