"""When refused callers are asked back, and that they are known then."""

from __future__ import annotations

import pytest

from serve_app.overload.retry_reservations import MAX_RETRY_S, SEND_ALL, ReservationRelay, RetryReservations


def key(number: int) -> bytes:
    return number.to_bytes(16)


def test_times_follow_the_work_that_was_promised() -> None:
    reservations = RetryReservations()
    told = [reservations.reserve(key(number), 1.0, 2.0, 100.0) for number in range(10)]
    assert told == sorted(told)
    assert told[0] == 4
    assert told[-1] == pytest.approx(2 + 10 * 1.4, abs=1)


def test_a_caller_is_known_when_it_is_due_and_once() -> None:
    reservations = RetryReservations()
    after = reservations.reserve(key(1), 1.0, 2.0, 100.0)
    assert not reservations.redeem(key(1), 100.0 + after - 0.5)
    assert reservations.redeem(key(1), 100.0 + after - 0.1), "timers fire a little early"
    assert not reservations.redeem(key(1), 100.0 + after)
    assert not reservations.redeem(key(2), 100.0 + after)


def test_a_caller_that_comes_too_early_keeps_its_time() -> None:
    reservations = RetryReservations()
    after = reservations.reserve(key(1), 1.0, 5.0, 100.0)
    for number in range(2, 50):
        reservations.reserve(key(number), 1.0, 5.0, 100.0)
    assert reservations.reserve(key(1), 1.0, 5.0, 102.0) == after - 2


def test_one_that_comes_too_late_is_a_newcomer() -> None:
    reservations = RetryReservations()
    after = reservations.reserve(key(1), 1.0, 2.0, 100.0)
    assert not reservations.redeem(key(1), 100.0 + after + 10.5)


def test_no_retry_time_exceeds_the_maximum() -> None:
    reservations = RetryReservations()
    assert max(reservations.reserve(key(number), 100.0, 2.0, 100.0) for number in range(100)) == MAX_RETRY_S


def test_callers_that_never_return_are_not_waited_for() -> None:
    reservations = RetryReservations()
    now = 100.0
    for number in range(20_000):
        now += 0.01
        after = reservations.reserve(key(number), 0.1, 1.0, now)
    assert after < 60, "a tenth of the load is served, and nobody comes back"


def test_times_far_ahead_do_not_hide_callers_that_never_return() -> None:
    reservations = RetryReservations()
    for number in range(2):
        assert reservations.reserve(key(number), 0.1, 300.0, 100.0) > 300
    now = 100.0
    for number in range(2, 20_000):
        now += 0.01
        after = reservations.reserve(key(number), 0.1, 1.0, now)
    assert after < 60
    assert len(reservations._due) < 10_000


def test_replicas_know_of_each_others_tickets_and_pace_them_together() -> None:
    here, there = RetryReservations(), RetryReservations()
    here.replicas = there.replicas = 2
    after = here.reserve(key(1), 1.0, 0.0, 100.0)
    assert after == 3, "half the rate is this replica's to promise"
    there.apply(here.news(100.0)[1], 2, 500.0)  # clocks of two machines
    assert here.news(100.0)[1:] == ([], 0)
    assert there.redeem(key(1), 500.0 + after)
    here.apply(there.news(500.0 + after)[1], 2, 100.0 + after)
    assert not here.redeem(key(1), 100.0 + after)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 8), (8, 2)])
def test_times_go_on_where_they_were_when_the_number_of_replicas_changes(before: int, after: int) -> None:
    reservations = RetryReservations()
    reservations.apply([], before, 100.0)
    last = [reservations.reserve(key(number), 1.0, 2.0, 100.0) for number in range(10)][-1]
    reservations.apply([], after, 100.0)
    assert reservations.reserve(key(10), 1.0, 2.0, 100.0) == pytest.approx(last + 1.4 * after, abs=1)


def test_a_replica_that_starts_continues_after_the_times_of_the_others() -> None:
    here, there = RetryReservations(), RetryReservations()
    last = [here.reserve(key(number), 1.0, 2.0, 100.0) for number in range(10)][-1]
    there.reserve(key(10), 1.0, 2.0, 500.0)
    there.apply(here.news(100.0)[1], 2, 500.0)
    assert there.reserve(key(11), 1.0, 0.0, 500.0) == pytest.approx(last + 1.4 * 2, abs=1)
    there.apply([(key(12), 300.0)], 2, 500.0)
    assert there.reserve(key(13), 1.0, 0.0, 500.0) < 30, "each paces its own part from then on"


def test_a_reservation_that_arrives_long_after_its_time_is_forgotten() -> None:
    here, there = RetryReservations(), RetryReservations()
    here.reserve(key(1), 1.0, 0.0, 100.0)
    there.apply(here.news(130.0)[1], 2, 500.0)  # the classifier that relays it was silent meanwhile
    assert not there.redeem(key(1), 500.0)


def test_no_flood_of_refusals_is_remembered_without_bound() -> None:
    reservations = RetryReservations()
    for number in range(60_000):
        reservations.reserve(key(number), 0.001, 1.0, 100.0)
    assert len(reservations._due) <= 50_000


def exchange(relay: ReservationRelay, reservations: RetryReservations, now: float) -> None:
    name, events, _ = reservations.news(now)
    reservations.apply(*relay.exchange(name, events, now), now)


def test_a_relay_sends_each_replica_what_the_others_sent_once() -> None:
    relay = ReservationRelay()
    relay.exchange("a", [], 100.0)
    relay.exchange("b", [(key(1), 3.0)], 100.0)
    assert relay.exchange("a", [(key(2), 4.0), (key(3), None)], 101.0) == ([(key(1), 2.0), (SEND_ALL, None)], 2)
    assert relay.exchange("a", [], 101.0) == ([], 2)
    assert relay.exchange("b", [], 102.0) == ([(key(2), 3.0), (key(3), None)], 2)


def test_a_relay_asks_all_replicas_for_their_times_when_one_is_new_to_it() -> None:
    relay = ReservationRelay()
    assert relay.exchange("a", [], 100.0) == ([(SEND_ALL, None)], 1)
    assert relay.exchange("a", [], 100.4) == ([], 1)
    assert relay.exchange("b", [], 100.5) == ([(SEND_ALL, None)], 2)
    assert relay.exchange("a", [], 100.8) == ([(SEND_ALL, None)], 2)
    assert relay.exchange("b", [], 100.9) == ([], 2)


def test_a_replica_that_starts_learns_the_times_that_are_not_due_yet_the_soonest_first() -> None:
    relay, here, there = ReservationRelay(), RetryReservations(), RetryReservations()
    dues = {key(number): 100.0 + here.reserve(key(number), 0.01, 2.0, 100.0) for number in range(12_000)}
    for _ in range(3):
        exchange(relay, here, 100.0)
    exchange(relay, there, 105.0)
    for _ in range(2):
        exchange(relay, here, 105.0)
    exchange(relay, there, 105.0)
    soonest = sorted(due for due in dues.values() if due > 105.0)[:5000]
    assert sorted(there._due.values()) == pytest.approx(soonest)
    for _ in range(2):
        exchange(relay, here, 105.0)
    exchange(relay, there, 105.0)
    assert there._due == pytest.approx({number: due for number, due in dues.items() if due > 105.0})


def test_no_time_is_lost_when_another_classifier_becomes_the_relay() -> None:
    relay, replicas = ReservationRelay(), [RetryReservations() for _ in range(4)]
    for each in replicas * 2:
        exchange(relay, each, 100.0)
    afters = [each.reserve(bytes([number]), 1.0, 2.0, 100.0) for number, each in enumerate(replicas)]
    exchange(relay, replicas[0], 100.0)  # which the others do not fetch any more
    relay = ReservationRelay()
    for each in replicas * 3:
        exchange(relay, each, 100.4)
        assert each.replicas == 4
    for number, after in enumerate(afters):
        assert all(each.redeem(bytes([number]), 100.0 + after) for each in replicas)


def test_a_relay_forgets_replicas_that_are_gone_and_keeps_a_bounded_number_of_events() -> None:
    relay = ReservationRelay()
    for sender in ("gone", "slow", "a"):
        relay.exchange(sender, [], 100.0)
    for sender in ("slow", "a"):
        relay.exchange(sender, [], 102.0)
    for first in range(0, 100_000, 5_000):
        assert relay.exchange("a", [(key(first + number), 3.0) for number in range(5_000)], 104.0) == ([], 2)
    events, replicas = relay.exchange("slow", [], 104.0)
    assert replicas == 2
    assert len(events) == 50_000


def test_events_that_nobody_takes_are_bounded() -> None:
    reservations = RetryReservations()
    for number in range(20_000):
        reservations.reserve(key(number), 0.001, 1.0, 100.0)
    assert len(reservations.news(100.0)[1]) == 5_000
