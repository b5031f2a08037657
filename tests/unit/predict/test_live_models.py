"""Which models count as live: those that have answered lately, the one that appeared last first."""

from __future__ import annotations

import dataclasses

import pytest

from serve_app.identity import MAX_MODELS, Identity
from serve_app.predict import live_models
from serve_app.predict.live_models import SLACK_S, LiveModels
from tests.support.fakes import IDENTITY

PROBE_S = 2.0


def model(number: int) -> Identity:
    return dataclasses.replace(IDENTITY, fingerprint=f"{number:016x}")


A, B = model(1), model(2)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live_models, "time", clock)
    return clock


def test_the_model_of_the_settings_counts_until_one_has_answered(clock: Clock) -> None:
    live = LiveModels(IDENTITY, PROBE_S)
    clock.now += 100
    assert live.newest_first() == [IDENTITY]
    live.saw(A, clock.now)
    assert live.newest_first() == [A]


def test_of_two_that_both_answer_the_one_that_appeared_last_stays_first(clock: Clock) -> None:
    live = LiveModels(A, PROBE_S)
    for _ in range(10):
        for each in (A, B):
            live.saw(each, clock.now)
            clock.now += PROBE_S / 2
    assert live.newest_first() == [B, A]


def test_a_model_that_answers_no_more_is_dropped_and_is_the_newest_when_it_comes_back(clock: Clock) -> None:
    live = LiveModels(A, PROBE_S)
    live.saw(A, clock.now)
    clock.now += PROBE_S
    live.saw(B, clock.now)
    assert live.newest_first() == [B, A]
    clock.now += SLACK_S + 0.01
    assert live.newest_first() == [B]
    live.saw(A, clock.now)
    assert live.newest_first() == [A, B]


@pytest.mark.parametrize("read", [True, False])
def test_a_dropped_model_is_not_back_by_the_end_of_a_call_that_began_before(clock: Clock, *, read: bool) -> None:
    live = LiveModels(A, PROBE_S)
    live.saw(A, clock.now)
    live.saw(B, clock.now)
    began = clock.now + 0.1
    for _ in range(9):
        clock.now += PROBE_S / 2
        live.saw(B, clock.now)
        if read:
            live.newest_first()
    live.saw(A, began)
    assert live.newest_first() == [B]
    live.saw(A, clock.now)
    assert live.newest_first() == [A, B]


def test_a_model_that_takes_long_for_each_call_is_listed(clock: Clock) -> None:
    live = LiveModels(A, PROBE_S)
    live.saw(A, clock.now - 60)
    clock.now += 60
    live.saw(B, clock.now - 60)
    assert live.newest == B
    clock.now += 60
    live.saw(B, clock.now - 60)
    live.saw(model(3), clock.now - 30)
    assert live.newest == model(3)


def test_the_last_that_answered_counts_however_long_ago(clock: Clock) -> None:
    live = LiveModels(IDENTITY, PROBE_S)
    live.saw(A, clock.now)
    live.saw(B, clock.now)
    clock.now += 1000
    assert live.newest_first()[0] == B
    assert live.newest == B


def test_what_a_model_says_of_itself_anew_is_what_it_is(clock: Clock) -> None:
    live = LiveModels(A, PROBE_S)
    live.saw(A, clock.now)
    clock.now += 1
    evaluated = dataclasses.replace(A, accuracy=0.5)
    live.saw(evaluated, clock.now)
    assert live.newest_first() == [evaluated]


def test_of_many_those_that_answered_last_are_kept(clock: Clock) -> None:
    live = LiveModels(A, PROBE_S)
    for number in range(20):
        live.saw(model(number), clock.now)
        clock.now += 0.01
    assert live.newest_first() == [model(19 - number) for number in range(MAX_MODELS)]
