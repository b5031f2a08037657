"""The model as the ingress sees it: what it answers, and the handle that reaches it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from model.labels import Scores
from serve_app.errors import ModelUnavailable, TooBusy
from serve_app.identity import Identity
from serve_app.metrics import Metrics
from serve_app.tickets import Event, News

RETURN_S = 0.5
"""How much of a call's time an answer has for its way back, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A model replica's answer for n texts, in order, with its own stage times, and what it has to do."""

    identity: Identity
    scores: Sequence[Scores | None]
    """None for a text whose turn did not come in time."""
    truncated: Sequence[bool]
    tokenize_ms: float = 0.0
    queue_ms: float = 0.0
    model_ms: float = 0.0
    replica: str
    busy_s: float = 0.0
    """Above 0 if the replica refused the texts: how long what it has takes, which is too long."""
    wait_s: float
    """How long one text that comes now would wait for its turn."""
    pass_s: float
    """How long one pass takes."""
    tokens_per_s: float
    """What the replica completes, in tokens as `guess_tokens` counts them."""


def guess_tokens(text: str, max_tokens: int | None) -> int:
    """A token for each four bytes, and two around them; to count them would cost a hundred times as much."""
    return min(2 + len(text.encode()) // 4, max_tokens or 512)  # the limit of nearly every DistilBERT


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
        """Send news of tickets to the replica that relays them; returns the others' events, and how many there are."""
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
