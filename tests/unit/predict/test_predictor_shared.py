"""The predictor and the cache that it shares with other replicas, which knows texts, fails or hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from serve_app.errors import ModelUnavailable, TooLate
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission
from serve_app.predict.caller import Caller
from serve_app.predict.outcome import Outcome
from serve_app.predict.predictor import Predictor
from serve_app.prediction import Prediction, make_prediction, text_key
from serve_app.settings import Settings
from tests.support.fakes import IDENTITY, FakeModel, FakeShared, fake_scores
from tests.support.wait import until_async


class Replica:
    def __init__(self, store: dict[bytes, Prediction] | None = None) -> None:
        self.model, self.metrics = FakeModel(), Metrics()
        self.store = {} if store is None else store
        self.shared = FakeShared(self.store)
        admission = Admission(Settings(), self.metrics)
        self.predictor = Predictor(self.model, lambda _: self.shared, admission, 1000, self.metrics)


def waits_ms(milliseconds: int) -> Caller:
    return Caller([(b"x-request-timeout-ms", b"%d" % milliseconds)])


def counts(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.hit, outcome.miss, outcome.coalesced


async def test_a_text_that_stands_several_times_in_a_request_and_in_redis_is_a_hit_each_time() -> None:
    replica = Replica()
    await replica.predictor.predict(["a"])
    other = Replica(replica.store)
    assert counts(await other.predictor.predict(["a", "b", "a", "a"])) == (3, 1, 0)
    assert other.metrics.hits._counts == {"memory": 0, "redis": 3}


async def test_what_redis_holds_is_answered_by_a_new_replica_while_the_model_is_away() -> None:
    replica = Replica()
    await replica.predictor.predict(["a"])
    fresh = Replica(replica.store)
    fresh.model.broken = True
    assert counts(await fresh.predictor.predict(["a"])) == (1, 0, 0)
    assert fresh.predictor.identity == IDENTITY
    with pytest.raises(ModelUnavailable):
        await fresh.predictor.predict(["b"])


async def test_a_caller_with_little_time_does_not_wait_for_a_shared_cache_that_hangs() -> None:
    replica = Replica()

    async def hang(keys: Sequence[bytes]) -> dict[bytes, Prediction]:
        await asyncio.Event().wait()
        raise AssertionError(keys)

    replica.shared.get_many = hang  # type: ignore[method-assign]
    began = time.monotonic()
    with pytest.raises(TooLate):
        await replica.predictor.predict(["a"], waits_ms(50))
    assert time.monotonic() - began < 0.5
    assert replica.model.calls == []


async def test_the_time_in_the_shared_cache_counts_for_the_callers_deadline() -> None:
    replica = Replica()
    replica.model.gate.clear()
    get_many = replica.shared.get_many

    async def slowly(keys: Sequence[bytes]) -> dict[bytes, Prediction]:
        await asyncio.sleep(0.2)
        return await get_many(keys)

    replica.shared.get_many = slowly  # type: ignore[method-assign]
    began = time.monotonic()
    with pytest.raises(TooLate):
        await replica.predictor.predict(["a"], waits_ms(300))
    assert 0.25 < time.monotonic() - began < 0.45


async def test_redis_is_asked_for_a_text_of_a_long_list_in_flight_which_the_request_does_not_join() -> None:
    replica = Replica()
    replica.model.gate.clear()
    texts = [f"text {number}" for number in range(100)]
    long = asyncio.create_task(replica.predictor.predict(texts))
    await until_async(lambda: replica.model.calls, "the list is under way")
    prediction = make_prediction(fake_scores(texts[7]), IDENTITY.labels, truncated=False)
    replica.store[text_key(texts[7])] = prediction  # by another replica
    assert counts(await replica.predictor.predict([texts[7]])) == (1, 0, 0)
    asked = len(replica.shared.asked)
    twin = asyncio.create_task(replica.predictor.predict(texts[:80]))
    await asyncio.sleep(0)
    replica.model.gate.set()
    assert counts(await twin) == (1, 0, 79)
    assert len(replica.shared.asked) == asked, "a list joins a list"
    await long
