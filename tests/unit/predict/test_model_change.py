"""The cache while the model changes, and while models that differ answer side by side."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import itertools
import random
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.labels import Scores
from serve_app.identity import Identity
from serve_app.messages import Answer
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission
from serve_app.predict.caller import Caller
from serve_app.predict.health import HealthMonitor
from serve_app.predict.outcome import Outcome
from serve_app.predict.predictor import Predictor
from serve_app.prediction import Prediction
from serve_app.settings import Settings
from tests.support.fakes import IDENTITY, FakeModel, FakeShared, Gate
from tests.support.wait import until_async

A = IDENTITY
B = dataclasses.replace(IDENTITY, precision="int8", fingerprint="fedcba9876543210")
C = dataclasses.replace(IDENTITY, fingerprint="00112233445566ff")
HOT = [f"hot {number}" for number in range(100)]
NOBODY_PROBES_S = 60.0


def share(text: str, model: Identity) -> float:
    """The second score of this text by this model: no other text nor model has it."""
    return int.from_bytes(hashlib.sha256(f"{model.fingerprint} {text}".encode()).digest()[:6]) / 2**48


class Replicas(FakeModel):
    """Model replicas that differ: `turn` says which one answers the next call."""

    def __init__(self, turn: Callable[[], Identity] = lambda: A) -> None:
        super().__init__()
        self.turn = turn

    async def classify(self, texts: Sequence[str], *arguments: object, **options: object) -> Answer:
        model = self.turn()
        answer = await super().classify(texts, *arguments, **options)  # type: ignore[arg-type]
        if answer.busy_s:
            return answer
        known: list[Scores | None] = [
            None if scores is None else (1 - share(text, model), share(text, model))
            for text, scores in zip(texts, answer.scores, strict=True)
        ]
        return dataclasses.replace(answer, identity=model, scores=known)

    @property
    def texts(self) -> int:
        return sum(map(len, self.calls))


class Setup:
    """An ingress replica's predictor; `stores` has what Redis holds, by fingerprint, and None is no Redis."""

    def __init__(
        self,
        turn: Callable[[], Identity] = lambda: A,
        stores: dict[str, dict[bytes, Prediction]] | None = None,
        probe_s: float = NOBODY_PROBES_S,
    ) -> None:
        self.model, self.metrics = Replicas(turn), Metrics()
        self.stores = stores
        admission = Admission(Settings(), self.metrics)
        self.predictor = Predictor(self.model, self._open, admission, 100_000, self.metrics, probe_s=probe_s)

    def _open(self, model: Identity) -> FakeShared:
        return FakeShared({} if self.stores is None else self.stores.setdefault(model.fingerprint, {}))

    async def predict(self, texts: Sequence[str], caller: Caller | None = None) -> Outcome:
        """An outcome, of which every answer is by the model that it names."""
        outcome = await self.predictor.predict(texts, caller)
        assert [each.scores[1] for each in outcome.predictions] == [share(text, outcome.identity) for text in texts]
        assert outcome.hit + outcome.miss + outcome.coalesced == len(texts)
        return outcome


def at_random(weight: float, seed: int = 2) -> Callable[[], Identity]:
    chance = random.Random(seed)
    return lambda: B if chance.random() < weight else A


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("weight", [0.1, 0.5])
async def test_replicas_that_differ_for_good_have_the_hit_rate_of_one(weight: float, *, shared: bool) -> None:
    setup = Setup(at_random(weight), {} if shared else None)
    for text in HOT:  # each by the one or the other
        await setup.predict([text])
    chance = random.Random(1)
    for _ in range(200):  # until the cache has what is asked for together of one model
        await setup.predict(chance.sample(HOT, 10))
    new, hits = 0, 0
    for number in range(2000):
        if chance.random() < 0.05:
            new += 1
            await setup.predict([f"new {number}"])
        else:
            hits += (await setup.predict(chance.sample(HOT, 3))).hit
    assert hits / (3 * (2000 - new)) > 0.99
    assert setup.model.texts <= new + 5 * len(HOT), "soon both models have answered each text"


async def test_both_of_two_models_have_their_answers_in_the_cache() -> None:
    turns = itertools.cycle([A, B])
    setup = Setup(lambda: next(turns))
    assert (await setup.predict(["by a"])).identity == A
    assert (await setup.predict(["by b"])).identity == B
    for _ in range(3):
        assert (await setup.predict(["by a"] * 2)).hit == 2
        assert (await setup.predict(["by b"] * 2)).hit == 2
    assert len(setup.model.calls) == 2


async def test_accuracy_that_was_measured_anew_is_shown_and_changes_no_answer() -> None:
    evaluated = dataclasses.replace(A, accuracy=0.5)
    turns = itertools.cycle([A, evaluated])
    setup = Setup(lambda: next(turns))
    for text in ("a", "b"):
        await setup.predict([text])
    assert setup.predictor.identity.accuracy == 0.5
    assert (await setup.predict(["a", "b"])).hit == 2


async def test_what_a_model_before_it_answered_is_computed_again_and_the_whole_list_is_the_new_ones() -> None:
    setup = Setup()
    await setup.predict(["a", "b"])
    setup.model.turn = lambda: B
    outcome = await setup.predict(["a", "b", "c"])
    assert (outcome.identity, outcome.hit, outcome.miss) == (B, 0, 3)
    assert setup.model.calls[1:] == [["c"], ["a", "b"]]
    assert setup.predictor.identity == B


@pytest.mark.parametrize("texts", [["one new text"], ["hit", "one new text of a page that everybody asks for"]])
async def test_a_thousand_callers_are_one_inference_also_while_the_model_changes(texts: list[str]) -> None:
    setup = Setup()
    await setup.predict(["hit"])
    setup.model.turn = lambda: B
    setup.model.gate.clear()
    callers = [asyncio.create_task(setup.predict(texts)) for _ in range(1000)]
    await until_async(lambda: len(setup.model.calls) == 2, "the model was asked")
    for _ in range(3):  # each of its calls takes a while
        setup.model.gate.set()
        await asyncio.sleep(0)
        setup.model.gate.clear()
        for _ in range(50):
            await asyncio.sleep(0)
    setup.model.gate.set()
    outcomes = await asyncio.gather(*callers)
    assert {outcome.identity.fingerprint for outcome in outcomes} == {B.fingerprint}
    assert setup.model.texts == 1 + len(texts), "each text once by each model"


async def test_replicas_that_take_strict_turns_still_give_one_models_answers_to_a_list() -> None:
    turns = itertools.cycle([A, B])
    setup = Setup(lambda: next(turns))
    await setup.predict(["a"])
    await setup.predict(["b"])
    callers = [asyncio.create_task(setup.predict(["a", "b", "c"])) for _ in range(1000)]
    await asyncio.gather(*callers)
    assert len(setup.model.calls) <= 2 + 4, "and all who ask for the list share them"


@pytest.mark.slow
@given(
    requests=st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), max_size=8),
    turns=st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=12),
    at_once=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_no_answer_has_two_models(requests: list[list[str]], turns: list[Identity], *, at_once: bool) -> None:
    async def run() -> None:
        cycle = itertools.cycle(turns)
        stores: dict[str, dict[bytes, Prediction]] = {}
        first, second = (Setup(lambda: next(cycle), stores) for _ in range(2))
        if at_once:
            await asyncio.gather(*(each.predict(texts) for texts in requests for each in (first, second)))
        else:
            for texts in requests:
                await first.predict(texts)
                await second.predict(texts)

    asyncio.run(run())


async def test_a_list_that_is_too_much_keeps_its_part_also_while_the_model_changes() -> None:
    setup = Setup()
    await setup.predict(["a"])
    setup.model.turn = lambda: B
    setup.model.max_texts = 2
    patient = Caller([(b"x-request-timeout-ms", b"30000")])
    assert (await setup.predict(["a", "b", "c"], patient)).identity == B


@pytest.mark.slow
async def test_a_changed_model_answers_within_the_probes_period_and_a_second_though_all_are_hits() -> None:
    probe_s = 0.3
    setup, quick = Setup(probe_s=probe_s), Settings(health_probe_s=probe_s, health_max_age_s=5)
    monitor = HealthMonitor(setup.model, quick, setup.metrics, setup.predictor.saw)
    await setup.predict(HOT)
    monitor.start()
    setup.model.turn = lambda: B
    clock = asyncio.get_running_loop().time
    changed = clock()
    while clock() < changed + probe_s + 1:
        await setup.predict(HOT[:3])
        await asyncio.sleep(0.005)
    for text in HOT:
        assert (await setup.predict([text])).identity == B
    await monitor.close()


async def test_once_the_probe_has_met_a_new_model_the_texts_that_it_knows_are_its_own_at_once() -> None:
    stores: dict[str, dict[bytes, Prediction]] = {}
    other = Setup(lambda: B, stores)
    await other.predict(["a"])
    setup = Setup(stores=stores)
    await setup.predict(["a", "b"])
    setup.predictor.saw(B, time.monotonic())
    assert (await setup.predict(["b"])).identity == A, "it may still be there"
    assert (await other.predict(["a"])).identity == B
    assert (await Setup(lambda: B, stores).predict(["b", "a"])).identity == A


async def test_the_end_of_a_replaced_models_long_call_does_not_bring_it_back() -> None:
    setup = Setup(probe_s=0)
    await setup.predict(["hot"])
    setup.model.gate.clear()
    long = asyncio.create_task(setup.predict(["a long text"]))
    await until_async(lambda: len(setup.model.calls) == 2, "it is under way")
    held, setup.model.gate, setup.model.turn = setup.model.gate, Gate(), lambda: B
    setup.model.gate.set()
    await setup.predict(["new"])
    await until_async(lambda: setup.predictor._models.newest_first() == [B], "the old one is dropped")
    held.set()
    await long
    assert setup.predictor.identity == B
