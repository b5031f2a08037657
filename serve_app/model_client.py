"""The model as the ingress sees it: what it answers, and the handle that reaches it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from model.labels import SINGLE_LABEL, Scores
from serve_app.errors import ModelUnavailable, TooBusy
from serve_app.metrics import Metrics
from serve_app.tickets import Event, News


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model answers: what `GET /project/model` shows, and what the cache is keyed by."""

    name: str
    revision: str | None
    fingerprint: str
    precision: str
    labels: tuple[str, ...]
    max_tokens: int
    accuracy: float | None
    problem_type: str = SINGLE_LABEL


@dataclass(frozen=True, slots=True)
class Load:
    """What a model replica has to do: how long a new text would wait, and the tokens that it completes in a second.

    With it comes what other ingress replicas say of their tickets, and how many ingress replicas there are.
    """

    replica: str
    wait_s: float
    tokens_per_s: float
    events: Sequence[Event] = ()
    ingresses: int = 1


@dataclass(frozen=True, slots=True)
class Classified:
    """A model replica's answer for n texts, in order, with its own stage times in milliseconds."""

    identity: Identity
    scores: list[Scores | None]
    """None for a text whose turn did not come in time."""
    truncated: list[bool]
    tokenize_ms: float
    queue_ms: float
    model_ms: float
    tokens: int
    load: Load


@dataclass(frozen=True, slots=True)
class Refused:
    """A model replica's answer if too much waits, or if the time was up before the turn of any text came."""

    load: Load
    late: bool = False


class Model(Protocol):
    """Something that predicts."""

    last_success: float | None
    """`time.monotonic()` of the last prediction that succeeded."""
    identity: Identity
    """Which model it is by the settings; each answer says which one it was."""

    async def classify(
        self,
        texts: Sequence[str],
        timeout_s: float | None = None,
        max_wait_s: float = math.inf,
        news: News | None = None,
    ) -> Classified | Refused:
        """Predict the texts, all in one call, as far as `timeout_s` or the setting's time, if that is less, allows.

        A replica in which a new text would wait longer than `max_wait_s` refuses; without end for that, the call goes
        before all others.

        Raises:
            TooBusy: Serve's queue for the replicas is full.
            ModelUnavailable: no replica answered in time.
        """
        ...


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
        self.identity = identity

    async def classify(
        self,
        texts: Sequence[str],
        timeout_s: float | None = None,
        max_wait_s: float = math.inf,
        news: News | None = None,
    ) -> Classified | Refused:
        """One handle call for all the texts."""
        within_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        answer: Classified | Refused = await self._call(
            lambda: self._handle.classify.remote(list(texts), within_s - min(RETURN_S, within_s / 20), max_wait_s, news)
        )
        if isinstance(answer, Classified):
            self.last_success = time.monotonic()
        return answer

    async def _call(self, send: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                for _ in range(self.ATTEMPTS - 1):
                    try:
                        return await _or_cancel(send())
                    except RayActorError:
                        # a prediction changes nothing, so it may safely run twice
                        self._metrics.model_retries.inc()
                return await _or_cancel(send())
        except BackPressureError:
            raise TooBusy from None
        except (RayError, RayServeException, TimeoutError):
            # not chained: the cause may quote the caller's text
            raise ModelUnavailable(headers={"Retry-After": "1"}) from None


async def _or_cancel(response: Any) -> Any:
    """The call's result. Where the caller is cancelled so is the call, of which Serve by itself does not make sure."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise
