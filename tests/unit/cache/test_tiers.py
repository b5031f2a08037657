"""Memory in front of the shared tier: what it holds, drops and writes back."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping

import pytest

from serve_app.cache.base import NoSharedCache
from serve_app.cache.tiers import RENEWED_PER_S, Tiers
from serve_app.prediction import Prediction, make_prediction, text_key
from tests.support.fakes import IDENTITY, FakeShared, fake_scores

OTHER = dataclasses.replace(IDENTITY, fingerprint="fedcba9876543210")


def answers(*texts: str) -> dict[bytes, Prediction]:
    return {text_key(text): make_prediction(fake_scores(text), IDENTITY.labels, truncated=False) for text in texts}


async def test_each_model_has_its_own_answer_to_a_text() -> None:
    stores: dict[str, dict[bytes, Prediction]] = {}
    tiers = Tiers(lambda model: FakeShared(stores.setdefault(model.fingerprint, {})), 10, IDENTITY)
    mine = answers("a")
    other = dict.fromkeys(mine, make_prediction((0.5, 0.5), IDENTITY.labels, truncated=True))
    tiers.keep(IDENTITY, mine)
    tiers.keep(OTHER, other)
    assert (tiers.recall(IDENTITY, mine), tiers.recall(OTHER, mine)) == (mine, other)
    fresh = Tiers(lambda model: FakeShared(stores[model.fingerprint]), 10, IDENTITY)
    assert await fresh.look_up([(IDENTITY, list(mine)), (OTHER, list(mine))]) == [mine, other]
    assert (fresh.recall(IDENTITY, mine), fresh.recall(OTHER, mine)) == (mine, other), "memory has them from now on"


def test_the_text_that_nobody_asked_for_longest_makes_room() -> None:
    tiers = Tiers(lambda _: NoSharedCache(), 2, IDENTITY)
    a, b, c = answers("a"), answers("b"), answers("c")
    tiers.keep(IDENTITY, a)
    tiers.keep(OTHER, b)
    tiers.recall(IDENTITY, a)
    tiers.keep(IDENTITY, c)
    assert tiers.recall(IDENTITY, a | c) == a | c
    assert tiers.recall(OTHER, b) == {}


def test_without_entries_memory_holds_nothing() -> None:
    tiers = Tiers(lambda _: NoSharedCache(), 0, IDENTITY)
    tiers.keep(IDENTITY, answers("a"))
    assert tiers.recall(IDENTITY, answers("a")) == {}


class CountingShared(FakeShared):
    written = 0

    def put_in_background(self, predictions: Mapping[bytes, Prediction]) -> None:
        self.written += len(predictions)
        super().put_in_background(predictions)


@pytest.mark.parametrize("size", [1, 3, 300])
def test_of_many_hits_a_bounded_number_is_written_again_and_no_text_is_left_out(size: int) -> None:
    now = 0.0
    shared = CountingShared({})
    tiers = Tiers(lambda _: shared, 1000, IDENTITY, lambda: now)
    kept = answers(*map(str, range(300)))
    tiers.keep(IDENTITY, kept)
    shared.store.clear()
    shared.written = 0
    seconds, hits_per_s = 30, 3000  # each text as often at the same fraction of a second
    for start in range(0, seconds * hits_per_s, size):
        now = start / hits_per_s
        tiers.recall(IDENTITY, [list(kept)[(start + at) % 300] for at in range(size)])
    assert 0.8 < shared.written / (seconds * RENEWED_PER_S) < 1.2
    assert len(shared.store) > 0.95 * len(kept)


def test_each_of_a_few_hits_is_written_again_also_at_the_same_moment() -> None:
    shared = CountingShared({})
    tiers = Tiers(lambda _: shared, 1000, IDENTITY, lambda: 0.0)
    kept = answers("a")
    tiers.keep(IDENTITY, kept)
    for _ in range(10):
        shared.store.clear()
        tiers.recall(IDENTITY, kept)
        assert len(shared.store) == 1


def test_no_more_hits_are_written_again_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: math.nextafter(1.0, 0.0))  # 1 added to it is 2
    tiers = Tiers(lambda _: NoSharedCache(), 10, IDENTITY, lambda: 0.0)
    kept = answers("a")
    tiers.keep(IDENTITY, kept)
    assert tiers.recall(IDENTITY, kept) == kept
