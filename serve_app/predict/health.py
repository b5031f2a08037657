"""Health: whether a prediction through the model has succeeded within the last seconds."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Callable

from serve_app.errors import ServiceError
from serve_app.identity import Identity
from serve_app.metrics import Metrics
from serve_app.predict.model_client import RemoteModel
from serve_app.settings import Settings

PROBE_TEXT = "Is anybody there?"


class HealthMonitor:
    """Tracks when the model last answered, and probes it if no traffic has reached it for a while.

    `saw` is called with the model that answered a probe and the time at which the probe began: while the cache answers
    everything, nothing else would show that the model has changed.
    """

    def __init__(
        self,
        model: RemoteModel,
        settings: Settings,
        metrics: Metrics,
        saw: Callable[[Identity, float], None] = lambda _model, _began: None,
    ) -> None:
        self._model = model
        self._max_age_s = settings.health_max_age_s
        self._probe_s = settings.health_probe_s
        self._drain_file = settings.drain_file
        self._metrics = metrics
        self._saw = saw
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to probe."""
        self._task = asyncio.create_task(self._probe_forever())

    async def close(self) -> None:
        """Stop probing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def first_answer(self, waits: Callable[[], bool]) -> None:
        """Probe the model until it has answered or `waits` returns False."""
        while self._model.last_success is None and waits():
            await self._ask()
            if self._model.last_success is None:
                await asyncio.sleep(self._probe_s)

    def unhealthy_reason(self) -> str | None:
        """Why the service is unhealthy, or None if it is healthy. Never waits."""
        if self._drain_file is not None and os.path.exists(self._drain_file):  # noqa: PTH110  (False for any OSError)
            return "draining: the service is about to end"
        age_s = self._age_s()
        if age_s == math.inf:
            return "starting: no prediction has succeeded yet"
        return f"no prediction has succeeded for {age_s:.0f} s" if age_s > self._max_age_s else None

    async def _probe_forever(self) -> None:
        while True:
            age_s = self._age_s()
            if age_s >= self._probe_s:
                await self._ask()
                age_s = 0.0
            self._metrics.healthy.set(0 if self.unhealthy_reason() else 1)
            await asyncio.sleep(self._probe_s - age_s)

    def _age_s(self) -> float:
        """Seconds since the model last answered."""
        last = self._model.last_success
        return math.inf if last is None else time.monotonic() - last

    async def _ask(self) -> None:
        # not through the cache, which would answer for a dead model
        began = time.monotonic()
        with contextlib.suppress(ServiceError, TimeoutError):
            async with asyncio.timeout(self._max_age_s):
                answer = await self._model.classify([PROBE_TEXT])
            if not answer.busy_s:
                self._saw(answer.identity, began)
