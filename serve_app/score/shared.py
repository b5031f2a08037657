"""Reads and writes the service's answers in Redis."""

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
    """A cache of answers shared with the service."""

    writes: bool

    def get(self, keys: Sequence[bytes]) -> dict[int, tuple[Scores, bool]]:
        """The answers that it has for these texts, by index in `keys`."""
        ...

    def put(self, answers: Answers) -> None:
        """Write computed answers, so that the service can use them."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class NoAnswers:
    """An empty cache, for a run without Redis."""

    writes = False

    def get(self, keys: Sequence[bytes]) -> dict[int, tuple[Scores, bool]]:  # noqa: ARG002
        """No answers."""
        return {}

    def put(self, answers: Answers) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class RedisAnswers:
    """The service's cache in Redis, with its timeouts and circuit breaker; if Redis fails, the run goes on."""

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
        """The answers that Redis has for these texts, by index in `keys`."""
        numbers = {key: number for number, key in enumerate(keys)}
        found: dict[int, tuple[Scores, bool]] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            values = self._run(self._cache.get_many(keys[start : start + _KEYS_AT_ONCE]))
            found |= {numbers[key]: (each.scores, each.truncated) for key, each in values.items()}
        return found

    def put(self, answers: Answers) -> None:
        """If `writes` is set, write computed answers in the background; drop what Redis does not accept in time."""
        if self.writes and answers:
            self._run(self._put(answers))

    async def _put(self, answers: Answers) -> None:
        labels = self._identity.labels
        self._cache.put_in_background(
            {key: make_prediction(scores, labels, truncated=cut) for key, (scores, cut) in answers.items()}
        )

    def close(self) -> None:
        """Write queued answers, and close the connections."""
        self._run(self._cache.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_S)
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
