from __future__ import annotations

import math
from collections import Counter

from serve_app.appointments import LONGEST_S, Appointments

RATE = 100.0  # tokens a second


def key(number: int) -> bytes:
    return number.to_bytes(16)


def test_what_is_promised_comes_back_no_faster_than_it_can_be_served() -> None:
    appointments = Appointments()
    due = Counter(appointments.book(key(number), 50, 1.0, RATE, now=0.0) for number in range(200))
    assert min(due) >= 2
    assert sum(due.values()) == 200
    for second in range(1, max(due)):
        # what is due within a few seconds is what is served in them
        assert sum(due[each] for each in range(second, second + 10)) * 50 <= 10 * RATE


def test_a_rate_that_looks_faster_or_slower_for_a_while_brings_nobody_back_at_once() -> None:
    appointments = Appointments()
    told: dict[bytes, float] = {}
    due: Counter[int] = Counter()
    for number in range(800):  # ten times what can be served, for 40 s
        now = number / 20
        for caller in [caller for caller, when in told.items() if when <= now]:
            assert appointments.keeps(caller, now)
            del told[caller]
        rate = RATE * (1 + 0.2 * math.sin(now / 3))
        told[key(number)] = now + appointments.book(key(number), 50, 1.0, rate, now)
        due[int(told[key(number)])] += 1
    for second in range(10, 600):
        assert sum(due[each] for each in range(second, second + 10)) * 50 <= 10 * RATE


def test_a_long_overload_is_not_remembered_for_longer_than_can_be_told() -> None:
    appointments = Appointments()
    for number in range(5000):
        appointments.book(key(number), 512, 1.0, RATE, now=number / 100)
    assert appointments.book(key(9999), 50, 1.0, RATE, now=50 + LONGEST_S) <= 3


def test_who_comes_as_told_is_known_once() -> None:
    appointments = Appointments()
    seconds = appointments.book(key(1), 50, 1.0, RATE, now=0.0)
    assert not appointments.keeps(key(1), now=0.0)
    assert not appointments.keeps(key(2), now=seconds)
    assert appointments.keeps(key(1), now=seconds)
    assert not appointments.keeps(key(1), now=seconds)


def test_who_comes_a_little_early_is_in_time() -> None:
    appointments = Appointments()
    seconds = appointments.book(key(1), 50, 1.0, RATE, now=0.0)
    assert not appointments.keeps(key(1), now=seconds - 0.5)
    assert appointments.keeps(key(1), now=seconds - 0.1)
    assert appointments.book(key(1), 50, 1.0, RATE, now=seconds - 0.1) > 1


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
        appointments.book(key(number), 50, 0.0, RATE, now=0.0)  # fifty seconds' work, told to come within seventy
    assert appointments.book(key(1000), 50, 0.0, RATE, now=75.0) == 1


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
