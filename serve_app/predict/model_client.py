"""The model as the ingress sees it: what it answers, and the handle that reaches it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from serve_app.errors import ModelUnavailable, TooBusy
from serve_app.identity import Identity
from serve_app.messages import Answer, Event, News
from serve_app.metrics import Metrics

RETURN_S = 0.5
"""How much of a call's time an answer has for its way back, at most."""


class RemoteModel:
    """The classifier deployment, through its handle. A call whose replica dies is tried on another one."""

    ATTEMPTS = 3

    def __init__(self, handle: DeploymentHandle[Any], timeout_s: float, metrics: Metrics, identity: Identity) -> None:
        self._handle: Any = handle  # its calls give a response or a generator, as its options say
        self._timeout_s = timeout_s
        self._metrics = metrics
        self.last_success: float | None = None
        """`time.monotonic()` of the last prediction that succeeded."""
        self.identity = identity
        """Which model it is by the settings; each answer says which one it was."""

    async def classify(
        self, texts: Sequence[str], timeout_s: float | None = None, max_wait_s: float = math.inf
    ) -> Answer:
        """Predict the texts, all in one call, as far as `timeout_s` or the setting's time, if that is less, allows.

        A replica in which they would wait longer than `max_wait_s` refuses; without end for that, the call goes before
        all others.

        Raises:
            TooBusy: Serve's queue for the replicas is full.
            ModelUnavailable: no replica answered in time.
        """
        within_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        answer: Answer = await self._call(
            lambda: self._handle.classify.remote(list(texts), within_s - min(RETURN_S, within_s / 20), max_wait_s)
        )
        if any(answer.scores):
            self.last_success = time.monotonic()
        return answer

    async def exchange(self, news: News) -> tuple[Sequence[Event], int]:
        """Send news of reservations to the replica that relays them; the others' events, and how many there are."""
        heard: tuple[Sequence[Event], int] = await self._call(lambda: self._handle.exchange.remote(*news))
        return heard

    async def _call(self, send: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                for left in reversed(range(self.ATTEMPTS)):
                    response = send()
                    try:
                        return await response
                    except RayActorError:
                        # a prediction changes nothing, so it may safely run twice
                        if not left:
                            raise
                        self._metrics.model_retries.inc()
                    except asyncio.CancelledError:
                        response.cancel()  # of which Serve by itself does not make sure
                        raise
        except BackPressureError:
            raise TooBusy from None
        except (RayError, RayServeException, TimeoutError):
            # not chained: the cause may quote the caller's text
            raise ModelUnavailable(headers={"Retry-After": "1"}) from None
