"""What is admitted, by what the classifiers say of their queues."""

from __future__ import annotations

import math

import pytest

from serve_app.errors import TooBusy, TooLate
from serve_app.messages import Answer
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission, Permit
from serve_app.overload.retry_reservations import MAX_RETRY_S
from serve_app.prediction import request_key
from serve_app.settings import Settings
from tests.support import fakes
from tests.support.retry_simulation import TIMES, Result, Simulation

RATE, PASS = 10_000.0, 100
SETTINGS = Settings(max_wait_s=1, batch_tokens=PASS)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def texts(number: int, size: int = 392) -> dict[bytes, str]:
    """A hundred tokens, by the first guess of four bytes a token."""
    return {number.to_bytes(16): "x" * size}


def answer(replica: str = "one", wait_s: float = 0.0, rate: float = RATE) -> Answer:
    return fakes.answer(replica=replica, wait_s=wait_s, tokens_per_s=rate)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> Admission:
    """After a first answer, which tells the model's rate."""
    admission = Admission(SETTINGS, Metrics(), clock)
    admission.learn(answer("one", 0.0))
    return admission


def admit(admission: Admission, wanted: dict[bytes, str], deadline: float = math.inf) -> Permit:
    return admission.admit(wanted, admission.redeem(request_key(wanted)), deadline)


def fill(admission: Admission, first: int) -> list[Permit]:
    """As many texts as are admitted."""
    permits: list[Permit] = []
    for number in range(first, first + 10_000):
        try:
            permits.append(admit(admission, texts(number)))
        except TooBusy:
            return permits
    raise AssertionError("everything was admitted")


def leave(admission: Admission, permits: list[Permit]) -> None:
    for permit in permits:
        admission.leave(permit)


def retry_after(admission: Admission, wanted: dict[bytes, str]) -> int:
    with pytest.raises(TooBusy) as refused:
        admit(admission, wanted)
    return told(admission, refused.value, wanted)


def told(admission: Admission, refused: TooBusy, wanted: dict[bytes, str]) -> int:
    return int(admission.refusal(refused, wanted, request_key(wanted), math.inf).headers["Retry-After"])


def test_what_begins_within_the_longest_wait_is_admitted(admission: Admission) -> None:
    assert len(fill(admission, 1)) * 100 == pytest.approx(RATE * 1, abs=101)


def test_what_the_model_completes_makes_room(admission: Admission, clock: Clock) -> None:
    leave(admission, fill(admission, 1))
    clock.now += 0.5
    assert len(fill(admission, 20_000)) * 100 == pytest.approx(RATE * 0.5, abs=101)


def test_a_classifiers_report_replaces_the_estimate(admission: Admission) -> None:
    leave(admission, fill(admission, 1))
    admission.learn(answer("one", 0.2))
    assert len(fill(admission, 20_000)) * 100 == pytest.approx(RATE * 0.8, abs=101)


def test_a_long_list_counts_as_one_pass_by_the_time_that_one_takes(admission: Admission) -> None:
    # texts of more tokens than was guessed: a pass takes less than its guessed tokens would at the rate
    admission.learn(fakes.answer(replica="one", wait_s=0.0, pass_s=0.02, tokens_per_s=RATE / 4))
    lists = [{bytes([number, index]): "x" * 40 for index in range(50)} for number in range(49)]
    permits = [admit(admission, each) for each in lists]
    assert admission.wait_s == pytest.approx(0.98)
    leave(admission, permits)


def test_a_text_that_is_longer_than_a_pass_counts_as_a_whole(admission: Admission) -> None:
    admission.learn(fakes.answer(replica="one", wait_s=0.0, pass_s=0.02, tokens_per_s=RATE))
    admit(admission, {b"long": "x" * 2000, **texts(1)})
    assert admission.wait_s == pytest.approx(502 / RATE)


def test_several_classifiers_take_so_many_times_as_much(admission: Admission) -> None:
    admission.learn(answer("two", 0.0))
    assert len(fill(admission, 1)) * 100 == pytest.approx(2 * RATE, abs=201)


@pytest.mark.parametrize(("wait_s", "seconds"), [(0.5, 10), (0.0, 60)])
def test_a_classifier_that_reports_no_more_is_forgotten_soon_if_others_are_busy(
    admission: Admission, clock: Clock, wait_s: float, seconds: int
) -> None:
    admission.learn(answer("two", 0.0))
    clock.now += 5
    for rates in [2] * (seconds - 5) + [1] * 5:
        admission.learn(answer("one", wait_s))
        assert admission.tokens_per_s == rates * RATE
        clock.now += 1


def test_after_light_traffic_at_one_classifier_the_others_still_count(clock: Clock) -> None:
    admission = Admission(SETTINGS, Metrics(), clock)
    admission.reservations.apply([], 8, clock.now)
    for number in range(8):
        admission.learn(answer(str(number)))
    for _ in range(30):
        clock.now += 1
        admission.learn(answer("0"))
    assert len(fill(admission, 1)) * 100 == pytest.approx(RATE, abs=801)


def test_an_idle_service_takes_the_largest_request_and_is_not_closed_by_it(admission: Admission) -> None:
    largest = {number.to_bytes(16): "x" * 5000 for number in range(1000)}
    admit(admission, largest)
    admit(admission, texts(1))


def test_a_text_alone_and_in_a_list_get_the_same_treatment(admission: Admission) -> None:
    fill(admission, 1)
    many = {number.to_bytes(16): "y" for number in range(5000, 5500)}
    for wanted in ({b"one": "y"}, many):
        with pytest.raises(TooBusy):
            admit(admission, wanted)


def test_a_refusal_says_when_to_come_back(admission: Admission) -> None:
    fill(admission, 1)
    times = [retry_after(admission, texts(50_000 + number)) for number in range(1000)]
    # a thousand texts of a hundred tokens are ten seconds' work, after the one that is there, and two fifths to spare
    assert times[0] == 2
    assert max(times) in (15, 16)


def test_a_caller_that_comes_back_as_asked_goes_before_newcomers(admission: Admission, clock: Clock) -> None:
    first = fill(admission, 1)
    clock.now += retry_after(admission, texts(7))
    leave(admission, first)
    fill(admission, 20_000)
    with pytest.raises(TooBusy):
        admit(admission, texts(8))
    assert admit(admission, texts(7)).max_wait_s == 3


@pytest.mark.parametrize(("max_wait_s", "expected_s"), [(10, [5, 5]), (2, [2, 5]), (1, [1, 3])])
def test_nobody_is_admitted_to_a_queue_that_is_longer_than_the_time_out(max_wait_s: int, expected_s: list[int]) -> None:
    admission = Admission(Settings(max_wait_s=max_wait_s, model_timeout_s=5), Metrics(), Clock())
    admission.learn(answer(wait_s=5.1))
    new = admission.redeem(b"new")
    with pytest.raises(TooBusy):
        admission.admit(texts(1), new, math.inf)
    admission.reservations.apply([(b"returned", 0.0)], 1, 100.0)
    assert [new, admission.redeem(b"returned")] == expected_s


@pytest.mark.parametrize(("requests", "seconds"), [(20, 5), (100, 60)])
def test_large_requests_that_are_refused_make_nobody_elses_time_long(
    admission: Admission, requests: int, seconds: int
) -> None:
    fill(admission, 1)
    before = retry_after(admission, texts(6000))
    for number in range(requests):
        retry_after(admission, {bytes([number, index % 256, index // 256]): "x" * 1000 for index in range(1000)})
    assert retry_after(admission, texts(6001)) <= before + seconds


def test_refused_work_is_reported_once(admission: Admission) -> None:
    fill(admission, 1)
    admission.reservations.news(0.0)
    retry_after(admission, texts(7))
    assert admission.reservations.news(0.0)[2] == 100
    assert admission.reservations.news(0.0)[2] == 0


def test_what_cannot_make_its_deadline_is_refused_at_once(admission: Admission, clock: Clock) -> None:
    for number in range(50):  # half a second's work
        admit(admission, texts(number))
    admit(admission, texts(60), clock.now + 0.6)
    with pytest.raises(TooLate) as refused:
        admit(admission, texts(61), clock.now + 0.4)
    assert refused.value.status == 429
    assert told(admission, refused.value, texts(61)) >= 1
    assert refused.value.deadline == clock.now + 0.4


def test_a_list_that_takes_longer_than_its_deadline_is_begun_so_that_a_later_try_has_less_to_do(
    admission: Admission, clock: Clock
) -> None:
    long = {bytes([number]): "x" * 392 for number in range(200)}  # two seconds' work
    admit(admission, long, clock.now + 1.0)
    assert admission.reservations.news(0.0)[2] == 0, "it is no demand that more classifiers would serve"


def test_a_few_large_requests_at_first_make_nobody_elses_time_long(admission: Admission) -> None:
    large = [{bytes([number, index % 256, index // 256]): "x" * 1000 for index in range(1000)} for number in range(23)]
    for each in large[:3]:
        admission.leave(admit(admission, each))
    admission.learn(answer())
    leave(admission, [admit(admission, texts(number)) for number in range(6)])
    fill(admission, 1)
    for each in large[3:]:
        retry_after(admission, each)
    assert retry_after(admission, texts(6001)) <= 10


def test_one_that_returned_is_not_refused_for_what_others_may_have_sent(clock: Clock) -> None:
    admission = Admission(SETTINGS, Metrics(), clock)
    admission.learn(answer())
    admission.reservations.apply([], 8, 0.0)
    fill(admission, 1)
    returning = texts(9_000)
    clock.now += retry_after(admission, returning)
    admission.learn(answer(wait_s=0.9))
    longest_s = admission.redeem(request_key(returning))
    for number in range(50):
        admission.admit(texts(9_001 + number), longest_s, math.inf)
    assert admission.wait_s > longest_s, "as other ingress replicas may have sent as much"
    admission.admit(returning, longest_s, math.inf)


def test_a_refusal_by_the_model_itself_has_a_retry_time_and_ends_admission(admission: Admission) -> None:
    admit(admission, texts(1))
    admission.learn(answer("one", 7.5))
    assert told(admission, TooBusy(7.5), texts(1)) >= 8
    assert isinstance(admission.refusal(TooLate(), texts(1), b"", math.inf), TooLate)
    with pytest.raises(TooBusy):
        admit(admission, texts(2))


def test_a_list_that_cannot_be_done_beside_others_comes_back_when_those_are_done(admission: Admission) -> None:
    admit(admission, texts(1))
    assert 20 <= told(admission, TooBusy(20.0), texts(1)) <= 22
    assert retry_after_one_more(admission) <= 5, "others' times do not follow"


def retry_after_one_more(admission: Admission) -> int:
    fill(admission, 1000)
    return retry_after(admission, texts(60_000))


def test_another_classifier_has_room_if_one_does_that_did_not_refuse(admission: Admission, clock: Clock) -> None:
    permit = admit(admission, texts(1))
    admission.learn(answer("one", 1.5))
    assert not admission.has_room_elsewhere("one", permit)
    admission.learn(answer("two", 1.2))
    assert not admission.has_room_elsewhere("one", permit)
    clock.now += 0.3
    assert admission.has_room_elsewhere("one", permit)


def test_a_model_that_does_not_answer_ends_admission_until_its_calls_are_given_up(
    admission: Admission, clock: Clock
) -> None:
    waiting = fill(admission, 1)
    clock.now += 20
    waiting += fill(admission, 20_000)
    assert len(waiting) * 100 == pytest.approx(RATE, abs=101)
    leave(admission, waiting)
    admit(admission, texts(30_000))


def test_other_ingress_replicas_count_in_the_estimate(clock: Clock) -> None:
    admission = Admission(SETTINGS, Metrics(), clock)
    admission.learn(answer())
    admission.reservations.apply([], 4, 0.0)
    assert len(fill(admission, 1)) * 100 == pytest.approx(RATE / 4, abs=101)


def overloaded(simulation: Simulation, seconds: float, texts: int, tokens: int, times: float = TIMES) -> Result:
    """What happens to callers that are so many times more than the model can serve."""
    result = Result()
    simulation.offer(result, times * simulation.rate / (texts * tokens), seconds, texts, tokens)
    simulation.run(seconds)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("classifiers", [1, 4])
@pytest.mark.parametrize("ingresses", [1, 2, 4, 8])
def test_retry_after_is_kept_whichever_ingress_replica_a_caller_comes_back_to(ingresses: int, classifiers: int) -> None:
    for seed in range(5 if classifiers == 1 else 1):
        simulation = Simulation(ingresses, classifiers, seed)
        result = overloaded(simulation, 40, 1, 250)
        overloaded(simulation, MAX_RETRY_S, 1, 250, times=1)  # until the last of them is due
        assert result.second_served > 5000 * classifiers
        assert result.kept >= 0.99
        assert result.wait(0.99) <= Settings().max_wait_s


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (2, 8)])
@pytest.mark.parametrize("moves", [False, True])
def test_retry_after_is_kept_when_ingress_replicas_start_or_the_relay_moves(
    before: int, after: int, *, moves: bool
) -> None:
    simulation = Simulation(before, 1, seed=0)
    results = [overloaded(simulation, 20, 1, 250)]
    if moves:
        simulation.move_relay()
        results.append(overloaded(simulation, 1, 1, 250))
    simulation.grow(after)
    results += [overloaded(simulation, 10, 1, 250) for _ in range(2)]
    overloaded(simulation, MAX_RETRY_S, 1, 250, times=1)  # until the last of them is due
    assert all(result.kept >= 0.99 for result in results)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ingresses", "texts", "tokens", "request_s"),
    [
        (1, 1, 250, 0.5),
        (2, 1, 250, 0.5),
        (8, 1, 250, 0.5),
        (1, 1, 250, 1.0),
        (2, 1, 250, 1.0),
        (1, 1, 250, 1.7),
        (2, 1, 250, 1.7),
        (1, 80, 40, 0.9),
        (1, 100, 40, 1.1),
        (8, 100, 40, 1.1),
        (2, 300, 25, 1.9),
        (1, 8, 510, 1.1),
    ],
)
def test_retry_after_is_kept_if_each_request_is_much_work(
    ingresses: int, texts: int, tokens: int, request_s: float
) -> None:
    simulation = Simulation(ingresses, 1, seed=0, rate=texts * tokens / request_s)
    overloaded(simulation, 10, texts, tokens, times=1)
    result = overloaded(simulation, 200, texts, tokens)
    assert result.second_served > 80 / request_s / 2
    assert result.kept >= 0.99
    assert result.wait(0.99) <= Settings().max_wait_s


@pytest.mark.slow
@pytest.mark.parametrize("lists", [1, 2])
def test_callers_who_send_the_longest_lists_all_the_time_refuse_nobody_else(lists: int) -> None:
    simulation = Simulation(1, 1, seed=0)
    bulk = Result()

    def again() -> None:
        simulation.send(simulation.caller(bulk, 1000, 510, tries=50, when_served=again))

    for number in range(lists):
        simulation.after(5 + number, again)
    others = {(texts, tokens): Result() for texts, tokens in [(1, 14), (1, 300), (10, 30)]}
    for (texts, tokens), result in others.items():
        simulation.offer(result, 0.1 * simulation.rate / (texts * tokens), 300, texts, tokens)
    simulation.run(300)
    for result in others.values():
        assert result.first_served > 100
        assert result.first_refused == 0
    assert len(bulk.retry_after) > 5, "the lists go on, in tries"


def test_a_request_reserves_all_its_work_if_others_are_as_large(admission: Admission, clock: Clock) -> None:
    large = [{bytes([number, index]): "x" * 392 for index in range(50)} for number in range(80)]  # half a second each
    for each in large[:60]:
        admission.leave(admit(admission, each))
        clock.now += 1
        admission.learn(answer())
    admission.learn(answer(wait_s=1.5))
    # ten seconds' work, after what is there, and two fifths to spare
    assert [retry_after(admission, each) for each in large[60:]][-1] == 16


def test_a_request_reserves_its_work_also_soon_after_many_small_ones(clock: Clock) -> None:
    admission = Admission(SETTINGS, Metrics(), clock)
    for number in range(64):
        admission.leave(admit(admission, {bytes([number]): "x" * 100}))
    large = [{bytes([number, index]): "x" * 100 for index in range(10)} for number in range(30)]  # 0.27 s each
    admission.learn(answer(rate=1000.0))
    for each in large[:6]:
        admission.leave(admit(admission, each))
        clock.now += 1
        admission.learn(answer(rate=1000.0))
    admission.learn(answer(wait_s=1.5, rate=1000.0))
    # 24 requests' work, after what is there, and two fifths to spare
    assert [retry_after(admission, each) for each in large[6:]][-1] == math.ceil(1.5 + 24 * 0.27 * 1.4)


def test_a_request_reserves_little_while_no_classifier_has_answered(clock: Clock) -> None:
    admission = Admission(SETTINGS, Metrics(), clock)
    for number in range(21):
        admit(admission, texts(number))
    times = [told(admission, TooBusy(1.5), texts(number)) for number in range(21)]
    assert times[-1] - times[0] <= math.ceil(20 * 1.4 / 8)
