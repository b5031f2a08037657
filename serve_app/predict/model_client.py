"""The ingress's client of the classifier deployment."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from grpc.aio import AioRpcError
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from serve_app.errors import ModelUnavailable, TooBusy
from serve_app.identity import Identity
from serve_app.messages import Answer, Event, News
from serve_app.metrics import Metrics
from serve_app.predict.shared_calls import SharedCalls
from serve_app.settings import Settings

logger = logging.getLogger("ray.serve")

RETURN_S = 0.5
"""At most this much of a call's time-out is kept for sending the answer back."""


class RemoteModel:
    """Calls the classifier deployment through its handle. A call whose replica dies is retried on another one."""

    ATTEMPTS = 3

    def __init__(self, handle: DeploymentHandle[Any], settings: Settings, metrics: Metrics, identity: Identity) -> None:
        self._handle: Any = handle  # its calls give a response or a generator, as its options say
        self._timeout_s = settings.model_timeout_s
        self._pass_tokens = settings.batch_tokens
        self._metrics = metrics
        self.last_success: float | None = None
        """`time.monotonic()` of the last prediction that succeeded."""
        self.identity = identity
        """The model that the settings name; each answer names the model that gave it."""
        self._shared = SharedCalls(self._classify_all)

    async def classify(
        self,
        texts: Sequence[str],
        timeout_s: float | None = None,
        max_wait_s: float = math.inf,
        spare_s: float = 0.0,
    ) -> Answer:
        """Predict the texts within `timeout_s` or the setting's time-out, whichever is shorter.

        A replica refuses texts that would wait longer than `max_wait_s`; if that is infinite, the call is urgent. A
        small request without a time-out, which has `spare_s` to wait before its pass, shares a call with others.

        Raises:
            TooBusy: Serve's queue for the replicas is full.
            ModelUnavailable: no replica answered in time.
        """
        answer: Answer | None
        may_share = spare_s and timeout_s is None
        # hardly any token is shorter than a byte, so these texts fit into one pass, and the others of the call wait for
        # no further one
        if may_share and (size := sum([len(text.encode()) + 2 for text in texts])) <= self._pass_tokens:
            answer = await self._shared.classify(texts, size, max_wait_s, spare_s)
        else:
            answer = await self._call(
                lambda left_s: self._handle.classify.remote(list(texts), left_s, max_wait_s), timeout_s
            )
        if answer is None:
            raise ModelUnavailable
        if any(answer.scores):
            self.last_success = time.monotonic()
        return answer

    async def _classify_all(self, requests: Sequence[Sequence[str]], max_wait_s: float) -> Sequence[Answer | None]:
        answers: Sequence[Answer | None] = await self._call(
            lambda left_s: self._handle.classify_all.remote(requests, left_s, max_wait_s)
        )
        return answers

    async def exchange(self, news: News) -> tuple[Sequence[Event], int]:
        """Send reservation events to the replica that relays them; the other replicas' events, and their number."""
        heard: tuple[Sequence[Event], int] = await self._call(lambda _: self._handle.exchange.remote(*news))
        return heard

    async def _call(self, send: Callable[[float], Any], timeout_s: float | None = None) -> Any:
        """The response to `send`, which gets the seconds that are left to compute the answer."""
        end = time.monotonic() + (self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s))
        try:
            async with asyncio.timeout(self._timeout_s):
                for left in reversed(range(self.ATTEMPTS)):
                    left_s = max(0.0, end - time.monotonic())
                    response = send(left_s - min(RETURN_S, left_s / 20))
                    try:
                        return await response
                    except (RayActorError, AioRpcError, asyncio.CancelledError):
                        if _is_cancelled():
                            response.cancel()  # Serve alone does not always do so
                            raise
                        # the replica has died or ends; a prediction changes nothing, so it may safely run twice
                        if left:
                            self._metrics.model_retries.inc()
        except BackPressureError:
            raise TooBusy from None
        except (RayError, RayServeException, TimeoutError):
            pass
        except Exception as error:  # noqa: BLE001  (over gRPC the replica's errors arrive as they are)
            logger.error("the model failed: %s", type(error).__name__)
        # not chained: the cause may quote the caller's text
        raise ModelUnavailable


def _is_cancelled() -> bool:
    # not inline: a task in the frame of an error that it raises is a cycle that only the garbage collector frees
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
