"""The one road a text takes: in-process LRU -> single flight -> Redis -> admission -> the model -> both caches."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache

from serve_app.admission import Admission
from serve_app.cache.base import SharedCache
from serve_app.errors import TooLate
from serve_app.metrics import Metrics
from serve_app.model_client import Classified, Identity, Model
from serve_app.prediction import Prediction, make_prediction, text_key
from serve_app.single_flight import SingleFlight

OpenSharedCache = Callable[[Identity], SharedCache]
Timeout = Callable[[], float | None]


@dataclass(slots=True)
class Timings:
    """Milliseconds by stage, for one request."""

    cache: float = 0.0
    queue: float = 0.0
    tokenize: float = 0.0
    model: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one request: a prediction for each text, in order, and what there is to say of them."""

    predictions: list[Prediction]
    identity: Identity
    hit: int
    miss: int
    coalesced: int
    timings: Timings


@dataclass(frozen=True, slots=True)
class _Looked:
    """What one flight brought: predictions by key, those of them from Redis, and the time it took."""

    predictions: Mapping[bytes, Prediction]
    from_redis: frozenset[bytes]
    identity: Identity
    timings: Timings = field(default_factory=Timings)


class _ModelChanged(Exception):
    """The model that answered is not the one whose cache was asked."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity.fingerprint)
        self.identity = identity


def _no_timeout() -> None:
    return None


class Predictor:
    """Answers lists of texts from the caches and the model."""

    def __init__(
        self, model: Model, open_shared: OpenSharedCache, admission: Admission, cache_entries: int, metrics: Metrics
    ) -> None:
        self._model = model
        self._admission = admission
        self._open_shared = open_shared
        self._metrics = metrics
        self._memory: LRUCache[bytes, Prediction] = LRUCache(cache_entries)
        self._flights: SingleFlight[bytes, str, _Looked] = SingleFlight(self._look_up)
        self._identity: Identity | None = None
        self._shared: SharedCache | None = None

    async def identity(self) -> Identity:
        """Which model answers; the model is asked once, and again when another one has answered."""
        if self._identity is None:
            await self._adopt(await self._model.identify())
        return self._identity  # type: ignore[return-value]  # set by _adopt

    async def predict(self, texts: Sequence[str], timeout_s: Timeout = _no_timeout) -> Outcome:
        """Predict each text, from the caches where they know it.

        `timeout_s`, the seconds that the caller will wait or None, is only asked where texts have to be predicted.

        Raises:
            TooBusy: a text had to go to the model, and too many wait for it.
            TooLate: the answer cannot be there within the caller's time, or was not.
            ModelUnavailable: a text had to go to the model, and that did not answer in time.
        """
        identity = await self.identity()
        try:
            return await self._predict(texts, identity, timeout_s)
        except _ModelChanged as changed:
            await self._adopt(changed.identity)
            return await self._predict_afresh(texts, _deadline(timeout_s))

    async def close(self) -> None:
        """Write what is queued for the shared cache, and close it."""
        if self._shared is not None:
            await self._shared.close()

    async def _predict(self, texts: Sequence[str], identity: Identity, timeout_s: Timeout) -> Outcome:
        began = time.perf_counter()
        keys = [text_key(text) for text in texts]
        found: dict[bytes, Prediction] = {}
        wanted: dict[bytes, str] = {}
        for key, text in zip(keys, texts, strict=True):
            if (prediction := self._memory.get(key)) is not None:
                found[key] = prediction
            else:
                wanted[key] = text
        if found and self._shared is not None:
            self._shared.keep_soon(found)
        hit = len(keys) if not wanted else sum(key in found for key in keys)
        self._metrics.hits.add("memory", hit)
        timings = Timings(cache=(time.perf_counter() - began) * 1000)
        miss = 0
        if wanted:
            own, joined = await self._fly(wanted, _deadline(timeout_s))
            for looked in (*joined, *([own] if own else [])):
                if looked.identity != identity:
                    raise _ModelChanged(looked.identity)
                found.update(looked.predictions)
            if own is not None:
                hit += len(own.from_redis)
                miss = len(own.predictions) - len(own.from_redis)
                timings = own.timings
        outcome = Outcome(
            [found[key] for key in keys], identity, hit, miss, coalesced=len(keys) - hit - miss, timings=timings
        )
        self._count(outcome)
        return outcome

    async def _fly(self, wanted: Mapping[bytes, str], deadline: float) -> tuple[_Looked | None, list[_Looked]]:
        """Work on `wanted`, or join who does; anew where that was given up for a deadline that is shorter than ours."""
        while True:
            try:
                async with asyncio.timeout(None if deadline == math.inf else deadline - time.monotonic()):
                    return await self._flights.run(wanted, deadline)
            except TooLate as late:
                if late.deadline >= deadline:
                    raise
            except TimeoutError:
                raise TooLate(deadline=deadline) from None

    async def _look_up(self, wanted: Mapping[bytes, str], deadline: float) -> _Looked:
        """Ask Redis for all of `wanted` at once, then the model for the rest, and remember both."""
        identity = await self.identity()
        shared = self._shared
        began = time.perf_counter()
        known = await shared.get_many(list(wanted)) if shared is not None else {}
        timings = Timings(cache=(time.perf_counter() - began) * 1000)
        rest = {key: text for key, text in wanted.items() if key not in known}
        computed: dict[bytes, Prediction] = {}
        if rest:
            answer = await self._classify(rest, deadline)
            if answer.identity != identity:
                raise _ModelChanged(answer.identity)
            computed = dict(zip(rest, _predictions(answer), strict=True))
            timings.queue, timings.tokenize, timings.model = answer.queue_ms, answer.tokenize_ms, answer.model_ms
            if shared is not None:
                shared.put_soon(computed)
        predictions = {**known, **computed}
        if identity == self._identity and self._memory.maxsize:
            self._memory.update(predictions)
        self._metrics.hits.add("redis", len(known))
        return _Looked(predictions, frozenset(known), identity, timings)

    async def _classify(self, texts: Mapping[bytes, str], deadline: float) -> Classified:
        with self._admission.admit(texts, deadline) as answered:
            timeout_s = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
            answer = await self._model.classify(list(texts.values()), timeout_s)
            answered(answer)
        return answer

    async def _predict_afresh(self, texts: Sequence[str], deadline: float) -> Outcome:
        """Have one replica of one model predict all the texts, so that old and new never share a response."""
        keys = [text_key(text) for text in texts]
        rest = dict(zip(keys, texts, strict=True))
        answer = await self._classify(rest, deadline)
        timings = Timings(queue=answer.queue_ms, tokenize=answer.tokenize_ms, model=answer.model_ms)
        found = dict(zip(rest, _predictions(answer), strict=True))
        predictions = [found[key] for key in keys]
        outcome = Outcome(predictions, answer.identity, 0, len(rest), len(keys) - len(rest), timings)
        self._count(outcome)
        return outcome

    async def _adopt(self, identity: Identity) -> None:
        if identity == self._identity:
            return
        old, self._shared = self._shared, self._open_shared(identity)
        self._identity = identity
        self._memory.clear()
        if old is not None:
            await old.close()

    def _count(self, outcome: Outcome) -> None:
        self._metrics.texts.add("hit", outcome.hit)
        self._metrics.texts.add("miss", outcome.miss)
        self._metrics.texts.add("coalesced", outcome.coalesced)
        if outcome.miss:
            for stage in ("cache", "queue", "tokenize", "model"):
                self._metrics.stage_ms.observe(getattr(outcome.timings, stage), tags={"stage": stage})


def _predictions(answer: Classified) -> list[Prediction]:
    return [
        make_prediction(scores, answer.identity.labels, truncated=truncated)
        for scores, truncated in zip(answer.scores, answer.truncated, strict=True)
    ]


def _deadline(timeout_s: Timeout) -> float:
    seconds = timeout_s()
    return math.inf if seconds is None else time.monotonic() + seconds
