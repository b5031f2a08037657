"""The one road a text takes: in-process LRU -> Redis -> single flight -> admission -> the model -> both caches."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial

from cachetools import LRUCache

from serve_app.admission import Admission, Permit
from serve_app.cache.base import SharedCache
from serve_app.caller import Caller
from serve_app.errors import TooBusy, TooLate
from serve_app.identity import Identity
from serve_app.metrics import Metrics
from serve_app.model_client import Answer, RemoteModel
from serve_app.prediction import Prediction, make_prediction, text_key
from serve_app.single_flight import SingleFlight

OpenSharedCache = Callable[[Identity], SharedCache]


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
class _Computed:
    """What one call of the model brought, by key."""

    predictions: Mapping[bytes, Prediction]
    identity: Identity
    timings: Timings
    rest: TooBusy | None
    """Why there are predictions for some of the texts only."""


class _ModelChanged(Exception):
    """The model that answered is not the one whose cache was asked."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity.fingerprint)
        self.identity = identity


class Predictor:
    """Answers lists of texts from the caches and the model."""

    def __init__(
        self,
        model: RemoteModel,
        open_shared: OpenSharedCache,
        admission: Admission,
        cache_entries: int,
        metrics: Metrics,
    ) -> None:
        self._model = model
        self._admission = admission
        self._open_shared = open_shared
        self._metrics = metrics
        self._memory: LRUCache[bytes, Prediction] = LRUCache(cache_entries)
        self._flights: SingleFlight[bytes, str, _Computed] = SingleFlight(self._start)
        self._identity = model.identity
        self._shared = open_shared(self._identity)
        self._exchange: asyncio.Task[None] | None = None

    @property
    def identity(self) -> Identity:
        """Which model answers: that of the settings, until another one has answered."""
        return self._identity

    def start(self) -> None:
        """Begin to find out whether the shared cache can be used, and to exchange tickets; needs a running loop."""
        self._shared.start()
        self._exchange = asyncio.create_task(self._admission.exchange_forever(self._model))

    async def predict(self, texts: Sequence[str], caller: Caller | None = None) -> Outcome:
        """Predict each text, from the caches where they know it.

        Raises:
            TooBusy: a text had to go to the model, and too many wait for it.
            TooLate: the answer cannot be there within the caller's time, or was not.
            ClientGone: the caller went while the model was waited for.
            ModelUnavailable: a text had to go to the model, and that did not answer in time.
        """
        caller = caller or Caller()
        try:
            return await self._predict(texts, self._identity, caller)
        except _ModelChanged as changed:
            await self._adopt(changed.identity)
            return await self._predict_afresh(texts, caller)

    async def close(self) -> None:
        """Write what is queued for the shared cache, and close it."""
        if self._exchange is not None:
            self._exchange.cancel()
        await self._shared.close()

    async def _predict(self, texts: Sequence[str], identity: Identity, caller: Caller) -> Outcome:
        began = time.perf_counter()
        keys = [text_key(text, caller.cache_owner) for text in texts]
        found: dict[bytes, Prediction] = {}
        wanted: dict[bytes, str] = {}
        for key, text in zip(keys, texts, strict=True):
            if (prediction := self._memory.get(key)) is not None:
                found[key] = prediction
            else:
                wanted[key] = text
        if found:
            self._shared.keep_soon(found)
        hit = len(keys) if not wanted else sum(key in found for key in keys)
        self._metrics.hits.add("memory", hit)
        miss = 0
        timings = Timings()
        if wanted:
            deadline = caller.deadline()
            found.update(await self._look_up(Counter(key for key in keys if key in wanted), identity, caller, deadline))
            hit = sum(key in found for key in keys)
        timings.cache = (time.perf_counter() - began) * 1000
        rest = {key: text for key, text in wanted.items() if key not in found}
        while rest:
            own, joined = await self._fly(rest, caller, deadline)
            late: TooBusy | None = None
            for computed in (*joined, *([own] if own else [])):
                if computed.identity != identity:
                    raise _ModelChanged(computed.identity)
                found.update(computed.predictions)
                late = computed.rest or late
            if own is not None:
                miss += len(own.predictions)
                timings = replace(own.timings, cache=timings.cache)
            rest = {key: text for key, text in rest.items() if key not in found}
            if rest and late is not None and late.deadline >= deadline:
                raise late
        outcome = Outcome(
            [found[key] for key in keys], identity, hit, miss, coalesced=len(keys) - hit - miss, timings=timings
        )
        self._count(outcome)
        return outcome

    async def _look_up(
        self, wanted: Mapping[bytes, int], identity: Identity, caller: Caller, deadline: float
    ) -> dict[bytes, Prediction]:
        """Ask Redis at once for all of `wanted` that nobody works on, and remember what it knows.

        `wanted` says how often each text stands in the request.
        """
        asked = [key for key in wanted if key not in self._flights]
        if not asked:
            return {}
        async with nullcontext() if deadline == math.inf else caller.waits(deadline):
            known = await self._shared.get_many(asked)
        if self._identity is not identity:
            raise _ModelChanged(self._identity)
        self._metrics.hits.add("redis", sum(map(wanted.__getitem__, known)))
        for key in asked:  # what others have had computed meanwhile
            if key not in known and (prediction := self._memory.get(key)) is not None:
                known[key] = prediction
                self._metrics.hits.add("memory", wanted[key])
        self._remember(known)
        return known

    async def _fly(
        self, rest: Mapping[bytes, str], caller: Caller, deadline: float
    ) -> tuple[_Computed | None, list[_Computed]]:
        """Work on `rest`, or join who does; anew where that was given up for a deadline that is shorter than ours."""
        while True:
            try:
                return await self._flights.run(rest, deadline, partial(caller.waits, deadline))
            except TooLate as late:
                if late.deadline >= deadline:
                    raise

    def _start(self, texts: Mapping[bytes, str], deadline: float) -> asyncio.Task[_Computed]:
        permit = self._admission.admit(texts, deadline)
        # in a context of its own: Serve cancels all that is called in a request's context when its client goes
        task = asyncio.get_running_loop().create_task(self._compute(texts, permit, deadline), context=Context())
        task.add_done_callback(lambda _: self._admission.leave(permit))  # the task may be cancelled before it begins
        return task

    async def _compute(self, texts: Mapping[bytes, str], permit: Permit, deadline: float) -> _Computed:
        """Have the model predict the texts, and remember that where the caches are still those of this model."""
        identity, shared = self._identity, self._shared
        computed = await self._classify(texts, permit, deadline)
        if computed.identity == identity:
            shared.put_soon(computed.predictions)
            if self._identity is identity:
                self._remember(computed.predictions)
        return computed

    async def _classify(self, texts: Mapping[bytes, str], permit: Permit, deadline: float) -> _Computed:
        answer = await self._ask(texts, permit, deadline)
        if answer.busy_s and self._admission.has_room_elsewhere(answer.replica, permit):
            answer = await self._ask(texts, permit, deadline)
        if answer.busy_s:
            raise self._admission.refusal(permit, TooBusy, answer.busy_s)
        labels = answer.identity.labels
        predictions = {
            key: make_prediction(scores, labels, truncated=truncated)
            for key, scores, truncated in zip(texts, answer.scores, answer.truncated, strict=True)
            if scores is not None
        }
        timings = Timings(queue=answer.queue_ms, tokenize=answer.tokenize_ms, model=answer.model_ms)
        first = next((key for key in texts if key not in predictions), None)
        rest = None if first is None else self._admission.refusal(permit, TooLate, key=first)
        if rest and not predictions:
            raise rest
        return _Computed(predictions, answer.identity, timings, rest)

    async def _ask(self, texts: Mapping[bytes, str], permit: Permit, deadline: float) -> Answer:
        timeout_s = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
        try:
            answer = await self._model.classify(list(texts.values()), timeout_s, permit.max_wait_s)
        except TooBusy:
            raise self._admission.refusal(permit, TooBusy) from None
        self._admission.learn(answer)
        return answer

    async def _predict_afresh(self, texts: Sequence[str], caller: Caller) -> Outcome:
        """Have one replica of one model predict all the texts, so that old and new never share a response."""
        keys = [text_key(text, caller.cache_owner) for text in texts]
        rest = dict(zip(keys, texts, strict=True))
        deadline = caller.deadline()
        permit = self._admission.admit(rest, deadline)
        try:
            async with caller.waits(deadline):
                computed = await self._classify(rest, permit, deadline)
        finally:
            self._admission.leave(permit)
        if computed.rest is not None:
            raise computed.rest
        predictions = [computed.predictions[key] for key in keys]
        outcome = Outcome(predictions, computed.identity, 0, len(rest), len(keys) - len(rest), computed.timings)
        self._count(outcome)
        return outcome

    def _remember(self, predictions: Mapping[bytes, Prediction]) -> None:
        if self._memory.maxsize:
            self._memory.update(predictions)

    async def _adopt(self, identity: Identity) -> None:
        if identity == self._identity:
            return
        old, self._shared = self._shared, self._open_shared(identity)
        self._shared.start()
        self._identity = identity
        self._memory.clear()
        await old.close()

    def _count(self, outcome: Outcome) -> None:
        self._metrics.texts.add("hit", outcome.hit)
        self._metrics.texts.add("miss", outcome.miss)
        self._metrics.texts.add("coalesced", outcome.coalesced)
        if outcome.miss:
            for stage in ("cache", "queue", "tokenize", "model"):
                self._metrics.stage_ms.observe(getattr(outcome.timings, stage), tags={"stage": stage})
