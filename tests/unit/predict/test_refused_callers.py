"""A caller that was refused and comes back when it was told is served, whatever others asked for meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from serve_app.errors import TooBusy
from serve_app.messages import Answer
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission
from serve_app.predict.predictor import Predictor
from serve_app.settings import Settings
from tests.support.fakes import IDENTITY, FakeModel, FakeShared, Gate, answer, fake_scores
from tests.support.wait import until_async


class Busy:
    """A predictor whose model has a queue that is too long for newcomers, but not for those who were told to return."""

    def __init__(self) -> None:
        self._now = 100.0
        self.model = FakeModel()
        metrics = Metrics()
        self._admission = Admission(Settings(max_wait_s=1), metrics, lambda: self._now)
        self.predictor = Predictor(self.model, lambda _: FakeShared({}), self._admission, 1000, metrics)
        self.queue(2.0)

    def pass_time(self, seconds: float) -> None:
        self._now += seconds

    def queue(self, wait_s: float) -> None:
        self._admission.learn(answer(wait_s=wait_s))

    async def refused(self, texts: list[str]) -> int:
        with pytest.raises(TooBusy) as refused:
            await self.predictor.predict(texts)
        return int(refused.value.headers["Retry-After"])

    def refused_tokens(self) -> int:
        """The refused work that the classifiers have not been sent yet."""
        return self._admission.reservations.news(self._now)[2]

    async def served_after(self, seconds: int, texts: list[str]) -> bool:
        self.pass_time(seconds)
        self.queue(2.0)
        await self.refused(["of a newcomer"])
        return len((await self.predictor.predict(texts)).predictions) == len(texts)


async def test_a_list_is_served_in_its_turn_if_another_caller_has_its_first_text_computed() -> None:
    busy = Busy()
    retry_s = await busy.refused(["x", "y"])
    busy.queue(0.0)
    await busy.predictor.predict(["x"])
    assert await busy.served_after(retry_s, ["x", "y"])


async def test_a_caller_that_had_joined_a_refused_call_has_a_turn_of_its_own() -> None:
    busy = Busy()
    busy.queue(0.0)
    busy.model.refusals = [answer(None, None, wait_s=2.0, busy_s=2.0)]
    busy.model.gate.clear()
    leader = asyncio.create_task(busy.refused(["x", "y"]))
    await until_async(lambda: busy.model.calls, "the model was asked")
    follower = asyncio.create_task(busy.refused(["y"]))
    await asyncio.sleep(0)
    busy.model.gate.set()
    await leader
    assert await busy.served_after(await follower, ["y"])
    assert [texts for texts in busy.model.calls if texts != ["x", "y"]] == [["y"]], "it had joined"


async def test_a_list_of_which_a_part_was_computed_is_served_in_its_turn() -> None:
    busy = Busy()
    busy.queue(0.0)
    busy.model.max_texts = 2
    retry_s = await busy.refused(["a", "b", "c", "d"])
    assert await busy.served_after(retry_s, ["a", "b", "c", "d"])
    assert busy.model.calls == [["a", "b", "c", "d"], ["c", "d"]]


async def test_a_caller_that_returned_and_joined_a_newcomers_refused_call_is_served_by_one_of_its_own() -> None:
    busy = Busy()
    retry_s = await busy.refused(["x"])
    busy.queue(0.0)
    busy.pass_time(retry_s)
    busy.model.refusals = [answer(None, None, wait_s=2.0, busy_s=2.0)]
    busy.model.gate.clear()
    newcomer = asyncio.create_task(busy.refused(["x", "w"]))
    await until_async(lambda: busy.model.calls, "the model was asked")
    returned = asyncio.create_task(busy.predictor.predict(["x"]))
    await asyncio.sleep(0)
    busy.model.gate.set()
    await newcomer
    assert len((await returned).predictions) == 1
    assert busy.model.calls == [["x", "w"], ["x"]]


async def test_a_caller_that_returned_is_served_also_if_another_model_answers_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = Busy()
    busy.queue(0.0)
    await busy.predictor.predict(["x"])
    busy.queue(2.0)
    retry_s = await busy.refused(["x", "y"])
    other, classify = dataclasses.replace(IDENTITY, fingerprint="fedcba9876543210"), busy.model.classify

    async def by_another(texts: Sequence[str], *limits: Any) -> Answer:
        return dataclasses.replace(await classify(texts, *limits), identity=other)

    monkeypatch.setattr(busy.model, "classify", by_another)
    assert await busy.served_after(retry_s, ["x", "y"])
    assert busy.model.calls == [["x"], ["y"], ["x"]]


async def test_a_refusal_that_comes_when_the_texts_are_in_memory_is_a_hit() -> None:
    busy = Busy()
    busy.queue(0.0)
    texts = [f"text {number}" for number in range(100)]
    held = busy.model.gate = Gate()
    long = asyncio.create_task(busy.predictor.predict(texts))
    await until_async(lambda: busy.model.calls, "the list is under way")
    busy.model.gate = Gate()
    single = asyncio.create_task(busy.predictor.predict([texts[7]]))
    await until_async(lambda: len(busy.model.calls) == 2, "the text is, too")
    held.set()
    await long
    busy.model.refusals = [answer(None, wait_s=9.0, busy_s=9.0)]
    busy.model.gate.set()
    assert (await single).hit == 1


async def test_a_text_of_another_caller_that_came_too_late_refuses_nobody_else() -> None:
    busy = Busy()
    busy.queue(0.0)
    first = busy.model.gate = Gate()
    late = asyncio.create_task(busy.refused(["x", "z"]))
    await until_async(lambda: busy.model.calls, "the first call is under way")
    second = busy.model.gate = Gate()
    other = asyncio.create_task(busy.predictor.predict(["y"]))
    await until_async(lambda: len(busy.model.calls) == 2, "the second one is, too")
    both = asyncio.create_task(busy.predictor.predict(["x", "y"]))
    await asyncio.sleep(0)
    busy.model.gate = Gate()
    busy.model.gate.set()
    busy.model.max_texts = 1
    first.set()
    await late
    busy.model.max_texts = 100
    busy.model.answers_as = dataclasses.replace(IDENTITY, fingerprint="fedcba9876543210")
    second.set()
    await other
    assert len((await both).predictions) == 2


async def test_what_a_list_leaves_at_its_own_time_out_is_no_demand_for_classifiers() -> None:
    busy = Busy()
    busy.queue(0.0)
    busy.model.max_texts = 2
    await busy.refused(["a", "b", "c", "d"])
    assert busy.refused_tokens() == 0
    busy.model.refusals = [answer(fake_scores("e"), None, busy_s=17.0)]
    await busy.refused(["e", "of a list that is ended for others"])
    assert busy.refused_tokens() > 0
