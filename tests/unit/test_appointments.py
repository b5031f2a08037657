from __future__ import annotations

import random
from collections import Counter

import pytest

from serve_app.appointments import LONGEST_S, Appointments

RATE = 100.0  # tokens a second


def key(number: int) -> bytes:
    return number.to_bytes(16)


def test_what_is_promised_comes_back_no_faster_than_it_can_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", random.Random(1).uniform)  # one time in a hundred chance spreads it worse
    appointments = Appointments()
    due = Counter(appointments.book(key(number), 50, 1.0, RATE, now=0.0) for number in range(200))
    assert min(due) >= 2
    assert sum(due.values()) == 200
    for second in range(1, max(due)):
        # what is due within a few seconds is what is served in them, whatever the jitter
        assert sum(due[each] for each in range(second, second + 10)) * 50 <= 10 * RATE * 1.3


def test_who_comes_as_told_is_known_once() -> None:
    appointments = Appointments()
    seconds = appointments.book(key(1), 50, 1.0, RATE, now=0.0)
    assert not appointments.keeps(key(1), now=0.0)
    assert not appointments.keeps(key(2), now=seconds)
    assert appointments.keeps(key(1), now=seconds)
    assert not appointments.keeps(key(1), now=seconds)


def test_who_comes_too_early_keeps_the_time_it_has_and_promises_no_more() -> None:
    appointments = Appointments()
    seconds = appointments.book(key(1), 500, 0.0, RATE, now=0.0)
    for _ in range(1000):
        assert appointments.book(key(1), 500, 0.0, RATE, now=1.0) == seconds - 1
    assert appointments.book(key(2), 100, 0.0, RATE, now=1.0) < 9


def test_who_comes_much_too_late_is_a_newcomer() -> None:
    appointments = Appointments()
    seconds = appointments.book(key(1), 50, 1.0, RATE, now=0.0)
    assert not appointments.keeps(key(1), now=seconds + 100.0)


def test_a_quiet_time_pays_off_what_was_promised() -> None:
    appointments = Appointments()
    for number in range(100):
        appointments.book(key(number), 50, 0.0, RATE, now=0.0)
    assert appointments.book(key(1000), 50, 0.0, RATE, now=60.0) == 1


def test_it_holds_a_bounded_number_and_never_tells_an_absurd_time() -> None:
    appointments = Appointments()
    for number in range(60_000):
        assert 1 <= appointments.book(key(number), 512, 1.0, RATE, now=number / 1000) <= LONGEST_S
    assert len(appointments._due) <= 50_000


def test_those_who_never_come_are_not_waited_for() -> None:
    appointments = Appointments()
    told = [appointments.book(key(number), 10, 1.0, RATE, now=number / 100) for number in range(20_000)]
    assert max(told[:1000]) > 5
    assert max(told[-100:]) < max(told) / 3


def test_a_crowd_that_keeps_its_word_is_believed_soon_after_one_that_did_not() -> None:
    appointments = Appointments()
    for number in range(20_000):
        appointments.book(key(number), 10, 1.0, RATE, now=number / 100)
    assert appointments._share < 0.1
    now = 300.0
    for number in range(30_000, 30_060):
        seconds = appointments.book(key(number), 10, 0.0, RATE, now)
        now += seconds
        assert appointments.keeps(key(number), now)
    assert appointments._share > 0.5
