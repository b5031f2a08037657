"""Fakes of the model client and the shared cache, which the predictor uses."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from model.labels import Scores
from serve_app.errors import ModelUnavailable
from serve_app.identity import Identity
from serve_app.messages import Answer, Event, News
from serve_app.predict.model_client import RemoteModel
from serve_app.prediction import Prediction

IDENTITY = Identity("fake", "r1", "0123456789abcdef", "fp32", ("NEGATIVE", "POSITIVE"), 512, 0.9)


def fake_scores(text: str) -> Scores:
    """Scores that only this text has, so that a mix-up is noticed."""
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
    return (1 - share, share)


def answer(*scores: Scores | None, **fields: Any) -> Answer:
    """An answer of an idle replica, unless `fields` say otherwise."""
    idle = {"identity": IDENTITY, "replica": "fake", "wait_s": 0.0, "pass_s": 0.1, "tokens_per_s": 1000.0}
    return Answer(**{**idle, "scores": scores, "truncated": [False] * len(scores), **fields})


class Gate(asyncio.Event):
    """Holds work until it is set, and counts the work that is cancelled meanwhile."""

    cancelled = 0

    async def wait(self) -> Literal[True]:
        """Wait until it is set."""
        try:
            return await super().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class FakeModel(RemoteModel):
    """Answers at once, or when `gate` opens; keeps every call's texts."""

    def __init__(self, identity: Identity = IDENTITY) -> None:
        self.last_success: float | None = None
        self.identity = identity
        self.answers_as = identity
        self.calls: list[list[str]] = []
        self.broken = False
        self.refusals: list[Answer] = []
        self.max_texts = 1_000_000
        """How many texts of a call it answers in time."""
        self.timeouts: list[float | None] = []
        self.gate = Gate()
        self.gate.set()

    async def classify(
        self,
        texts: Sequence[str],
        timeout_s: float | None = None,
        max_wait_s: float = math.inf,
        spare_s: float = 0.0,  # noqa: ARG002
    ) -> Answer:
        self.timeouts.append(timeout_s)
        self.calls.append(list(texts))
        await self.gate.wait()
        if self.broken:
            raise ModelUnavailable
        if self.refusals and max_wait_s < math.inf:
            return self.refusals.pop()
        self.last_success = time.monotonic()
        scores = [fake_scores(text) if number < self.max_texts else None for number, text in enumerate(texts)]
        truncated = [len(text) > 1000 for text in texts]
        return answer(*scores, truncated=truncated, identity=self.answers_as)

    async def exchange(self, news: News) -> tuple[Sequence[Event], int]:  # noqa: ARG002
        return [], 1


class FakeShared:
    """A shared cache in a dict that outlives predictors."""

    def __init__(self, store: dict[bytes, Prediction]) -> None:
        self.store = store
        self.asked: list[list[bytes]] = []
        self.closed = False

    def start(self) -> None:
        pass

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Prediction]:
        self.asked.append(list(keys))
        await asyncio.sleep(0)
        return {key: self.store[key] for key in keys if key in self.store}

    def put_in_background(self, predictions: Mapping[bytes, Prediction]) -> None:
        self.store.update(predictions)

    async def close(self) -> None:
        self.closed = True
