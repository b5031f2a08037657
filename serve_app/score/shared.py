"""The answers that the service has in Redis."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from model.labels import SINGLE_LABEL, Scores
from serve_app.cache.redis import RedisCache
from serve_app.identity import Identity
from serve_app.metrics import Metrics
from serve_app.prediction import make_prediction
from serve_app.settings import Settings

_KEYS_AT_ONCE = 500
_CLOSE_S = 10.0

T = TypeVar("T")

Answers = Mapping[bytes, tuple[Scores, bool]]
"""Scores and whether the text was truncated, by the text's key."""


class SharedAnswers(Protocol):
    """What the service has computed already."""

    writes: bool

    def get(self, keys: Sequence[bytes]) -> dict[int, tuple[Scores, bool]]:
        """What is known of these texts, by their number."""
        ...

    def put(self, answers: Answers) -> None:
        """Tell the service what was computed."""
        ...

    def close(self) -> None:
        """End."""
        ...


class NoAnswers:
    """Nothing is known, as without Redis."""

    writes = False

    def get(self, keys: Sequence[bytes]) -> dict[int, tuple[Scores, bool]]:  # noqa: ARG002
        """Nothing is known."""
        return {}

    def put(self, answers: Answers) -> None:
        """Nobody is told."""

    def close(self) -> None:
        """Nothing is open."""


class RedisAnswers:
    """The service's cache in Redis, with its time limits and its breaker: a Redis that fails is done without."""

    def __init__(self, settings: Settings, identity: Identity, *, writes: bool) -> None:
        self.writes = writes
        self._identity = identity
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="redis", daemon=True)
        self._thread.start()
        sum_to_one = identity.problem_type == SINGLE_LABEL
        self._cache = self._run(self._open(settings, identity, sum_to_one=sum_to_one))

    @staticmethod
    async def _open(settings: Settings, identity: Identity, *, sum_to_one: bool) -> RedisCache:
        cache = RedisCache(settings, identity.fingerprint, identity.labels, Metrics(), sum_to_one=sum_to_one)
        cache.start()
        return cache

    def get(self, keys: Sequence[bytes]) -> dict[int, tuple[Scores, bool]]:
        """What Redis has of these texts, by their number."""
        numbers = {key: number for number, key in enumerate(keys)}
        found: dict[int, tuple[Scores, bool]] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            known = self._run(self._cache.get_many(keys[start : start + _KEYS_AT_ONCE]))
            found |= {numbers[key]: (each.scores, each.truncated) for key, each in known.items()}
        return found

    def put(self, answers: Answers) -> None:
        """Write what was computed, if that was asked for; what Redis does not take in time is dropped."""
        if self.writes and answers:
            self._run(self._put(answers))

    async def _put(self, answers: Answers) -> None:
        labels = self._identity.labels
        self._cache.put_in_background(
            {key: make_prediction(scores, labels, truncated=cut) for key, (scores, cut) in answers.items()}
        )

    def close(self) -> None:
        """Write what is queued, and end."""
        self._run(self._cache.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_S)
        self._loop.close()

    def _run(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()
