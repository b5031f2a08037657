from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.labels import Scores
from serve_app.errors import ModelUnavailable, TooBusy, TooLate
from serve_app.identity import Identity
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission
from serve_app.predict.caller import Caller
from serve_app.predict.outcome import Outcome
from serve_app.predict.predictor import Predictor
from serve_app.prediction import Prediction
from serve_app.settings import Settings
from tests.support.fakes import IDENTITY, FakeModel, FakeShared, Gate, answer, fake_scores
from tests.support.wait import until_async

texts_lists = st.lists(st.sampled_from(["a", "b", "", " ", "c"]) | st.text(max_size=8), max_size=12)


class Setup:
    def __init__(self, entries: int = 1000, store: dict[bytes, Prediction] | None = None) -> None:
        self.model = FakeModel()
        self.store = {} if store is None else store
        self.opened: list[FakeShared] = []
        metrics = Metrics()
        self.predictor = Predictor(self.model, self._open, Admission(Settings(), metrics), entries, metrics)

    def _open(self, identity: Identity) -> FakeShared:
        self.opened.append(FakeShared(self.store if identity == IDENTITY else {}))
        return self.opened[-1]


def waits_ms(milliseconds: int) -> Caller:
    return Caller([(b"x-request-timeout-ms", b"%d" % milliseconds)])


def scores(outcome: Outcome) -> list[Scores]:
    return [prediction.scores for prediction in outcome.predictions]


def counts(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.hit, outcome.miss, outcome.coalesced


@pytest.mark.slow
@given(st.lists(texts_lists, max_size=6))
@settings(max_examples=1500, deadline=None)
def test_n_texts_in_are_n_out_in_order(requests: list[list[str]]) -> None:
    async def run() -> None:
        setup = Setup(entries=4)  # so small that texts fall out between requests
        for texts in requests:
            outcome = await setup.predictor.predict(texts)
            assert scores(outcome) == [fake_scores(text) for text in texts]
            assert sum(counts(outcome)) == len(texts)
        concurrent = await asyncio.gather(*(setup.predictor.predict(texts) for texts in requests))
        for texts, outcome in zip(requests, concurrent, strict=True):
            assert scores(outcome) == [fake_scores(text) for text in texts]

    asyncio.run(run())


async def test_a_request_is_answered_from_any_mix_of_cached_and_new_texts() -> None:
    setup = Setup()
    assert counts(await setup.predictor.predict(["a", "b"])) == (0, 2, 0)
    assert counts(await setup.predictor.predict(["b", "c", "a"])) == (2, 1, 0)
    assert counts(await setup.predictor.predict(["c", "b", "a"])) == (3, 0, 0)
    assert setup.model.calls == [["a", "b"], ["c"]]


async def test_the_same_text_twice_in_a_request_is_computed_once() -> None:
    setup = Setup()
    assert counts(await setup.predictor.predict(["a", "a", "b", "a"])) == (0, 2, 2)
    assert setup.model.calls == [["a", "b"]]


async def test_a_hit_touches_neither_redis_nor_the_model() -> None:
    setup = Setup()
    await setup.predictor.predict(["a"])
    await setup.predictor.predict(["a"])
    assert len(setup.model.calls) == len(setup.opened[0].asked) == 1


async def test_what_another_replica_cached_is_a_hit() -> None:
    setup = Setup()
    other = Setup(store=setup.store)
    await setup.predictor.predict(["a", "b"])
    assert counts(await other.predictor.predict(["b", "c"])) == (1, 1, 0)
    assert other.model.calls == [["c"]]
    assert len(other.opened[0].asked) == 1, "one MGET per request"


async def test_without_memory_every_text_is_new() -> None:
    setup = Setup(entries=0)
    setup.opened.append(FakeShared({}))
    await setup.predictor.predict(["a", "a"])
    setup.store.clear()
    assert counts(await setup.predictor.predict(["a"])) == (0, 1, 0)


async def test_an_empty_list_asks_nobody() -> None:
    setup = Setup()
    outcome = await setup.predictor.predict([])
    assert outcome.predictions == []
    assert setup.model.calls == []


async def test_a_thousand_concurrent_requests_for_a_new_text_are_one_inference() -> None:
    setup = Setup()
    setup.model.gate.clear()
    requests = [asyncio.create_task(setup.predictor.predict(["new"])) for _ in range(1000)]
    await until_async(lambda: setup.model.calls, "the model was asked")
    setup.model.gate.set()
    outcomes = await asyncio.gather(*requests)
    assert setup.model.calls == [["new"]]
    assert sorted({counts(outcome) for outcome in outcomes}) == [(0, 0, 1), (0, 1, 0)]


async def test_a_client_that_goes_is_not_computed_for_unless_others_wait() -> None:
    setup = Setup()
    setup.model.gate.clear()
    alone = asyncio.create_task(setup.predictor.predict(["alone"]))
    shared = [asyncio.create_task(setup.predictor.predict(["shared"])) for _ in range(2)]
    await until_async(lambda: len(setup.model.calls) == 2, "the model was asked")
    alone.cancel()
    shared[0].cancel()
    await asyncio.gather(alone, shared[0], return_exceptions=True)
    await until_async(lambda: setup.model.gate.cancelled, "the lonely call was cancelled")
    setup.model.gate.set()
    assert scores(await shared[1]) == [fake_scores("shared")]
    assert setup.model.gate.cancelled == 1


async def test_a_failed_model_fails_the_request_and_the_next_one_succeeds() -> None:
    setup = Setup()
    await setup.predictor.predict(["a"])
    setup.model.broken = True
    with pytest.raises(ModelUnavailable):
        await setup.predictor.predict(["a", "b"])
    assert counts(await setup.predictor.predict(["a"])) == (1, 0, 0), "hits need no model"
    setup.model.broken = False
    assert counts(await setup.predictor.predict(["a", "b"])) == (1, 1, 0)


async def test_who_joins_a_shorter_deadline_is_not_refused_for_it() -> None:
    setup = Setup()
    setup.model.gate.clear()
    setup.model.refusals = [answer(None, None)]
    hurried = asyncio.create_task(setup.predictor.predict(["a", "b"], waits_ms(50)))
    await until_async(lambda: setup.model.calls, "the model was asked")
    patient = asyncio.create_task(setup.predictor.predict(["a"], waits_ms(30_000)))
    endless = asyncio.create_task(setup.predictor.predict(["b"]))
    with pytest.raises(TooLate):
        await hurried
    setup.model.gate.set()
    assert scores(await patient) == [fake_scores("a")]
    assert scores(await endless) == [fake_scores("b")]
    assert sorted(setup.model.calls) == [["a"], ["a", "b"], ["b"]]


async def test_what_was_computed_beside_a_joined_text_that_came_too_late_is_not_computed_again() -> None:
    setup = Setup()
    setup.model.gate.clear()
    hurried = asyncio.create_task(setup.predictor.predict(["a"], waits_ms(50)))
    await until_async(lambda: setup.model.calls, "the model was asked")
    setup.model.refusals = [answer(None)]
    patient = asyncio.create_task(setup.predictor.predict(["a", "b", "c"]))
    with pytest.raises(TooLate):
        await hurried
    setup.model.gate.set()
    assert scores(await patient) == [fake_scores(text) for text in ("a", "b", "c")]
    assert setup.model.calls == [["a"], ["b", "c"], ["a"]]


async def test_of_a_list_that_is_too_much_each_try_keeps_its_part_and_ends_with_a_time() -> None:
    setup = Setup()
    setup.model.max_texts = 4
    texts = [f"text {number}" for number in range(10)]
    for tries in range(2):
        with pytest.raises(TooLate) as refused:
            await setup.predictor.predict(texts)
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        assert counts(await setup.predictor.predict(texts[: 4 + 4 * tries])) == (4 + 4 * tries, 0, 0)
    assert counts(await setup.predictor.predict(texts)) == (8, 2, 0)
    assert len(setup.store) == 10, "other replicas know them too"


async def test_of_a_list_for_which_the_model_failed_in_part_that_part_alone_is_computed_again() -> None:
    setup = Setup()
    setup.model.refusals = [answer(fake_scores("a"), None, failed=True)]
    with pytest.raises(ModelUnavailable):
        await setup.predictor.predict(["a", "b"])
    assert counts(await setup.predictor.predict(["a", "b"])) == (1, 1, 0)
    assert setup.model.calls == [["a", "b"], ["b"]]


async def test_a_text_that_was_reached_is_answered_even_if_the_list_that_it_joined_was_not() -> None:
    setup = Setup()
    setup.model.max_texts = 4
    setup.model.gate.clear()
    long = asyncio.create_task(setup.predictor.predict([f"text {number}" for number in range(10)]))
    await until_async(lambda: setup.model.calls, "the model was asked")
    single = asyncio.create_task(setup.predictor.predict(["text 2"]))
    await asyncio.sleep(0)
    setup.model.gate.set()
    assert counts(await single) == (0, 0, 1)
    with pytest.raises(TooLate):
        await long


async def test_the_model_gets_the_callers_time() -> None:
    setup = Setup()
    await setup.predictor.predict(["a"])
    await setup.predictor.predict(["b"], waits_ms(5000))
    none, some = setup.model.timeouts
    assert none is None
    assert some is not None
    assert 0 < some <= 5.0


async def test_a_caller_is_not_asked_for_a_hit() -> None:
    setup = Setup()
    await setup.predictor.predict(["a"])

    class NotAsked(Caller):
        def deadline(self) -> float:
            raise AssertionError

    assert counts(await setup.predictor.predict(["a", "a"], NotAsked())) == (2, 0, 0)


async def test_past_the_bound_new_texts_are_refused_and_hits_are_not() -> None:
    setup = Setup()
    await setup.predictor.predict(["hit"])
    setup.model.gate.clear()
    waiting = [asyncio.create_task(setup.predictor.predict([f"{n} " + "x" * 400])) for n in range(100)]
    await until_async(lambda: any(task.done() for task in waiting), "one is refused")
    assert counts(await setup.predictor.predict(["hit"] * 50)) == (50, 0, 0)
    with pytest.raises(TooBusy):
        await setup.predictor.predict(["hit", "new"])
    setup.model.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, TooBusy)]
    assert 0 < len(refused) < len(waiting)
    assert counts(await setup.predictor.predict(["hit", "new"])) == (1, 1, 0)


async def test_a_refusal_by_one_classifier_is_tried_once_on_another() -> None:
    setup = Setup()
    setup.model.refusals = [answer(None, replica="full", wait_s=9.0, busy_s=9.0)]
    with pytest.raises(TooBusy) as refused:
        await setup.predictor.predict(["a"])
    assert setup.model.calls == [["a"]], "no other one is known"
    assert int(refused.value.headers["Retry-After"]) >= 9
    setup = Setup()
    await setup.predictor.predict(["hello"])
    setup.model.refusals = [answer(None, replica="full", wait_s=2.5, busy_s=2.5)]
    assert scores(await setup.predictor.predict(["a"])) == [fake_scores("a")]
    setup.model.refusals = [answer(None, replica="full", wait_s=2.5, busy_s=2.5) for _ in range(9)]
    with pytest.raises(TooBusy):
        await setup.predictor.predict(["b"])
    assert setup.model.calls == [["hello"], ["a"], ["a"], ["b"], ["b"]]


async def test_a_list_that_the_classifier_ends_keeps_its_answers_and_comes_back_after_the_others() -> None:
    setup = Setup()
    setup.model.refusals = [answer(fake_scores("a"), None, busy_s=17.0)]
    with pytest.raises(TooLate) as refused:
        await setup.predictor.predict(["a", "b"])
    assert setup.model.calls == [["a", "b"]], "answered in part, so not tried elsewhere"
    assert int(refused.value.headers["Retry-After"]) >= 17
    assert counts(await setup.predictor.predict(["a", "b"])) == (1, 1, 0)


async def test_a_text_does_not_wait_for_a_long_list_in_flight_that_has_it_too() -> None:
    setup = Setup()
    setup.model.gate.clear()
    texts = [f"text {number} " + "word " * 20 for number in range(1000)]
    long = asyncio.create_task(setup.predictor.predict(texts))
    await until_async(lambda: setup.model.calls, "the list is under way")
    held, setup.model.gate = setup.model.gate, Gate()
    setup.model.gate.set()
    assert counts(await setup.predictor.predict([texts[7]])) == (0, 1, 0)
    assert not long.done()
    assert counts(await setup.predictor.predict([texts[7]])) == (1, 0, 0)
    twin = asyncio.create_task(setup.predictor.predict(texts[500:]))
    await asyncio.sleep(0)
    held.set()
    assert counts(await long) == (0, 1000, 0)
    assert counts(await twin) == (0, 0, 500), "a list joins a list"
    assert [len(call) for call in setup.model.calls] == [1000, 1]
