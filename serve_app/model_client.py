"""The model as the ingress sees it: what it answers, and the handle that reaches it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from serve_app.errors import ModelUnavailable
from serve_app.metrics import Metrics

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model answers: what `GET /project/model` shows, and what the cache is keyed by."""

    name: str
    revision: str | None
    fingerprint: str
    precision: str
    labels: tuple[str, str]
    max_tokens: int
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Classified:
    """A model replica's answer for n texts, in order, with its own stage times in milliseconds."""

    identity: Identity
    scores: list[tuple[float, float]]
    truncated: list[bool]
    tokenize_ms: float
    queue_ms: float
    model_ms: float


class Model(Protocol):
    """Something that predicts."""

    last_success: float | None
    """`time.monotonic()` of the last prediction that succeeded."""

    async def classify(self, texts: Sequence[str]) -> Classified:
        """Predict the texts, all in one call.

        Raises:
            ModelUnavailable: no replica answered in time.
        """
        ...

    async def identify(self) -> Identity:
        """Ask which model answers. Raises ModelUnavailable as `classify` does."""
        ...


class RemoteModel:
    """The classifier deployment, through its handle. A call whose replica dies is tried on another one."""

    ATTEMPTS = 3

    def __init__(self, handle: DeploymentHandle[Any], timeout_s: float, metrics: Metrics) -> None:
        self._handle = handle
        self._timeout_s = timeout_s
        self._metrics = metrics
        self.last_success: float | None = None

    async def classify(self, texts: Sequence[str]) -> Classified:
        """One handle call for all the texts."""
        answer: Classified = await self._call(lambda: self._handle.classify.remote(list(texts)))
        self.last_success = time.monotonic()
        return answer

    async def identify(self) -> Identity:
        """One handle call."""
        return await self._call(self._handle.identify.remote)

    async def _call(self, send: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                for _ in range(self.ATTEMPTS - 1):
                    try:
                        return await send()
                    except RayActorError:
                        # a prediction changes nothing, so it may safely run twice
                        self._metrics.model_retries.inc()
                return await send()
        except (RayError, RayServeException, TimeoutError):
            # not chained: the cause may quote the caller's text
            raise ModelUnavailable(headers={"Retry-After": "1"}) from None
