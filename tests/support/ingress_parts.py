"""What an ingress replica has between a request and Redis, with a fake model behind it."""

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
        """The gauge of whether Redis is used; None while that is not known."""
        return self.metrics.redis_up.value

    async def hit(self, text: str = "a") -> int:
        """How many of this one text were a hit."""
        return (await self.predictor.predict([text])).hit


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says to whoever runs the service."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


Make = Callable[..., Replica]
