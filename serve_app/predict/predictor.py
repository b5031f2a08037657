"""How one text is answered: in-process LRU -> Redis -> single flight -> admission -> the model -> both caches."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from contextvars import Context
from dataclasses import replace
from functools import partial
from typing import TypeVar

from serve_app.cache.tiers import OpenSharedCache, Tiers
from serve_app.errors import ModelUnavailable, ServiceError, TooBusy, TooLate
from serve_app.identity import Identity
from serve_app.messages import Answer
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission, Permit
from serve_app.predict.caller import Caller, Limits
from serve_app.predict.live_models import LiveModels
from serve_app.predict.model_client import RemoteModel
from serve_app.predict.outcome import Answers, Computed, Outcome, Timings, fullest
from serve_app.predict.single_flight import SingleFlight
from serve_app.prediction import make_prediction, request_key, text_key

V = TypeVar("V")

MAX_MIXED = 2
"""After so many rounds in which another model answers than expected, one call computes all texts of the request."""


class Predictor:
    """Answers lists of texts from the caches and the model."""

    def __init__(
        self,
        model: RemoteModel,
        open_shared: OpenSharedCache,
        admission: Admission,
        cache_entries: int,
        metrics: Metrics,
        *,
        probe_s: float = 2.0,
    ) -> None:
        self._model = model
        self._admission = admission
        self._metrics = metrics
        self._models = LiveModels(model.identity, probe_s)
        self._cache = Tiers(open_shared, cache_entries, model.identity)
        self._flights: SingleFlight[bytes, str, Computed] = SingleFlight()
        self._lists: SingleFlight[bytes, Mapping[bytes, str], Computed] = SingleFlight()
        self._exchange: asyncio.Task[None] | None = None

    @property
    def identity(self) -> Identity:
        """The newest model that has answered lately; the one of the settings until one has."""
        return self._models.newest

    def saw(self, identity: Identity, began: float) -> None:
        """Record which model has answered another caller, such as the health probe, whose call began then."""
        self._models.saw(identity, began)

    def start(self) -> None:
        """Begin to probe the shared cache and to exchange reservations; needs a running loop."""
        self._cache.start()
        self._exchange = asyncio.create_task(self._admission.exchange_forever(self._model.exchange))

    async def predict(self, texts: Sequence[str], caller: Caller | None = None) -> Outcome:
        """Predict each text, from the caches if they have it; all predictions come from one model.

        Raises:
            TooBusy: a text had to go to the model, and too many wait for it.
            TooLate: the answer would come, or came, after the caller's deadline.
            ClientGone: the caller disconnected during the wait for the model.
            ModelUnavailable: a text had to go to the model, which did not answer in time.
        """
        caller = caller or Caller()
        began = time.perf_counter()
        owner = caller.cache_owner
        keys = [text_key(text, owner) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        known = [Answers(model, self._cache.recall(model, wanted)) for model in self._models.newest_first()]
        best = fullest(known)
        timings = Timings(cache=_ms_since(began))
        if len(best.found) < len(wanted):
            deadline, key = caller.deadline(), request_key(wanted)
            try:
                await self._look_up(wanted, known, caller, deadline)
                timings.cache = _ms_since(began)
                limits = Limits(deadline, self._admission.redeem(key))
                best, timings = await self._compute_rest(wanted, key, known, timings, caller, limits)
            except TooBusy as refused:
                # for this request alone, also if a call that it had joined was refused
                best = fullest(known)
                best.found.update(self._cache.recall(best.model, best.missing(wanted)))
                if rest := best.missing(wanted):
                    raise self._admission.refusal(refused, rest, key, deadline) from None
        outcome = best.outcome(keys, timings)
        self._count(outcome, sum(key in best.shared for key in keys) if best.shared else 0)
        return outcome

    async def close(self) -> None:
        """Write what is queued for the shared cache, and close it."""
        if self._exchange is not None:
            self._exchange.cancel()
        await self._cache.close()

    async def _look_up(
        self, wanted: Mapping[bytes, str], known: Sequence[Answers], caller: Caller, deadline: float
    ) -> None:
        """Read from Redis, for all models together, the texts that neither memory nor a call to join will give."""
        joins, missing = self._flights.joins, [(each, each.missing(wanted)) for each in known]
        asked = [(each, [key for key in rest if not joins(key, len(rest))]) for each, rest in missing]
        if not any(keys for _, keys in asked):
            return
        async with nullcontext() if deadline == math.inf else caller.limit_wait(deadline):
            shared = await self._cache.look_up([(each.model, keys) for each, keys in asked])
        for each, predictions in zip(known, shared, strict=True):
            each.found.update(predictions)
            each.shared = predictions

    async def _compute_rest(
        self,
        wanted: Mapping[bytes, str],
        key: bytes,
        known: Sequence[Answers],
        timings: Timings,
        caller: Caller,
        limits: Limits,
    ) -> tuple[Answers, Timings]:
        """Compute the missing texts of the model with most answers; if another model answers, go on with that one."""
        answers = {each.model.fingerprint: each for each in known}
        best = fullest(known)
        start, start_list = partial(self._start, limits), partial(self._start_list, key, limits)
        mixed = 0
        while True:
            best.found.update(self._cache.recall(best.model, best.missing(wanted)))  # computed for others meanwhile
            if not (rest := best.missing(wanted)):
                return best, timings
            if mixed < MAX_MIXED:
                own, joined = await self._fly(self._flights, rest, start, caller, limits)
            else:
                own, joined = await self._fly(self._lists, {key: wanted}, start_list, caller, limits)
            late: ServiceError | None = None
            answered = {}
            for computed in (*joined, *([own] if own else [])):
                model = computed.identity
                answered[model.fingerprint] = answers.setdefault(model.fingerprint, Answers(model, {}))
                answered[model.fingerprint].add(computed.predictions, own=computed is own)
                if not wanted.keys().isdisjoint(computed.unanswered):
                    late = computed.late
            if own is not None:
                timings = replace(own.timings, cache=timings.cache)
            if not answered:
                continue
            mixed += answered.keys() != {best.model.fingerprint}
            best = fullest(list(answered.values()))
            if late and best.missing(wanted) and (not isinstance(late, TooLate) or late.deadline >= limits.deadline):
                raise late

    async def _fly(
        self,
        flights: SingleFlight[bytes, V, Computed],
        rest: Mapping[bytes, V],
        start: Callable[[Mapping[bytes, V]], asyncio.Task[Computed]],
        caller: Caller,
        limits: Limits,
    ) -> tuple[Computed | None, list[Computed]]:
        """Start or join the computation of `rest`.

        Returns nothing if a joined one had a shorter limit than ours: what the others computed is in memory.
        """
        try:
            return await flights.run(rest, start, partial(caller.limit_wait, limits.deadline))
        except TooBusy as refused:
            sooner = isinstance(refused, TooLate) and refused.deadline < limits.deadline
            if not sooner and refused.max_wait_s >= limits.max_wait_s:
                raise
            return None, []

    def _start(self, limits: Limits, texts: Mapping[bytes, str]) -> asyncio.Task[Computed]:
        permit = self._admission.admit(texts, limits.max_wait_s, limits.deadline)
        # in its own context: Serve cancels calls made in a request's context when that request's client disconnects
        task = asyncio.get_running_loop().create_task(self._compute(texts, permit, limits.deadline), context=Context())
        task.add_done_callback(lambda _: self._admission.leave(permit))  # the task may be cancelled before it begins
        return task

    def _start_list(
        self, key: bytes, limits: Limits, lists: Mapping[bytes, Mapping[bytes, str]]
    ) -> asyncio.Task[Computed]:
        """Like `_start`, for a whole list in one call, so that all its answers come from one model."""
        return self._start(limits, lists[key])

    async def _compute(self, texts: Mapping[bytes, str], permit: Permit, deadline: float) -> Computed:
        """Have the model predict the texts, and cache the answers under the model that gave them."""
        began = time.monotonic()
        computed = await self._classify(texts, permit, deadline)
        self._models.saw(computed.identity, began)
        self._cache.keep(computed.identity, computed.predictions)
        return computed

    async def _classify(self, texts: Mapping[bytes, str], permit: Permit, deadline: float) -> Computed:
        answer = await self._ask(texts, permit, deadline)
        if answer.refused and self._admission.has_room_elsewhere(answer.replica, permit):
            answer = await self._ask(texts, permit, deadline)
        if answer.refused:
            self._admission.count_refused(texts)
            raise TooBusy(answer.busy_s, deadline, permit.max_wait_s)
        labels = answer.identity.labels
        predictions = {
            key: make_prediction(scores, labels, truncated=truncated)
            for key, scores, truncated in zip(texts, answer.scores, answer.truncated, strict=True)
            if scores is not None
        }
        timings = Timings(queue=answer.queue_ms, tokenize=answer.tokenize_ms, model=answer.model_ms)
        rest = {key: text for key, text in texts.items() if key not in predictions}
        failed = ModelUnavailable() if rest and answer.failed else None
        late = failed or TooLate(answer.busy_s, deadline) if rest else None
        if answer.busy_s:  # otherwise it took all of its time-out, and more classifiers would not help
            self._admission.count_refused(rest)
        if late and not predictions:
            raise late
        return Computed(predictions, answer.identity, timings, late, rest.keys())

    async def _ask(self, texts: Mapping[bytes, str], permit: Permit, deadline: float) -> Answer:
        timeout_s = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
        try:
            answer = await self._model.classify(list(texts.values()), timeout_s, permit.max_wait_s, permit.spare_s)
        except TooBusy:
            self._admission.count_refused(texts)
            raise
        self._admission.learn(answer)
        return answer

    def _count(self, outcome: Outcome, shared: int) -> None:
        self._metrics.hits.add("memory", outcome.hit - shared)
        if shared:
            self._metrics.hits.add("redis", shared)
        self._metrics.texts.add("hit", outcome.hit)
        self._metrics.texts.add("miss", outcome.miss)
        self._metrics.texts.add("coalesced", outcome.coalesced)
        if outcome.miss:
            for stage in ("cache", "queue", "tokenize", "model"):
                self._metrics.stage_ms.observe(getattr(outcome.timings, stage), tags={"stage": stage})


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
