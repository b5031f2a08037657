"""What is admitted, by what the classifiers say of their queues."""

from __future__ import annotations

import math

import pytest

from serve_app.admission import Admission, Permit
from serve_app.errors import TooBusy, TooLate
from serve_app.metrics import Metrics
from serve_app.model_client import Classified, Load
from serve_app.settings import Settings
from tests.fakes import IDENTITY
from tests.retry_simulation import Simulation

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


def answer(tokens: int, wait_s: float = 0.0, replica: str = "one", *, truncated: bool = False) -> Classified:
    return Classified(IDENTITY, [(0.5, 0.5)], [truncated], 0.1, 0.2, 0.3, tokens, Load(replica, wait_s, RATE))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> Admission:
    """After a first answer, which tells the model's rate."""
    admission = Admission(SETTINGS, Metrics(), clock)
    admission.learn(Load("one", 0.0, RATE))
    return admission


def fill(admission: Admission, first: int) -> list[Permit]:
    """As many texts as are admitted."""
    permits: list[Permit] = []
    for number in range(first, first + 10_000):
        try:
            permits.append(admission.admit(texts(number), math.inf))
        except TooBusy:
            return permits
    raise AssertionError("everything was admitted")


def leave(permits: list[Permit]) -> None:
    for permit in permits:
        permit.leave()


def retry_after(admission: Admission, wanted: dict[bytes, str]) -> int:
    with pytest.raises(TooBusy) as refused:
        admission.admit(wanted, math.inf)
    return int(refused.value.headers["Retry-After"])


def test_what_begins_within_the_longest_wait_is_admitted(admission: Admission) -> None:
    assert len(fill(admission, 1)) * 100 == pytest.approx(RATE * 1, abs=101)


def test_what_the_model_completes_makes_room(admission: Admission, clock: Clock) -> None:
    leave(fill(admission, 1))
    clock.now += 0.5
    assert len(fill(admission, 20_000)) * 100 == pytest.approx(RATE * 0.5, abs=101)


def test_a_classifiers_word_counts_more_than_what_was_reckoned(admission: Admission) -> None:
    leave(fill(admission, 1))
    admission.learn(Load("one", 0.2, RATE))
    assert len(fill(admission, 20_000)) * 100 == pytest.approx(RATE * 0.8, abs=101)


def test_several_classifiers_take_so_many_times_as_much(admission: Admission) -> None:
    admission.learn(Load("two", 0.0, RATE))
    assert len(fill(admission, 1)) * 100 == pytest.approx(2 * RATE, abs=201)


def test_a_classifier_that_is_heard_of_no_more_is_forgotten(admission: Admission, clock: Clock) -> None:
    admission.learn(Load("two", 0.0, RATE))
    clock.now += 11
    admission.learn(Load("one", 0.0, RATE))
    assert admission.tokens_per_s == RATE


def test_an_idle_service_takes_the_largest_request_and_is_not_closed_by_it(admission: Admission) -> None:
    largest = {number.to_bytes(16): "x" * 5000 for number in range(1000)}
    admission.admit(largest, math.inf)
    admission.admit(texts(1), math.inf)


def test_a_text_alone_and_in_a_list_get_the_same_treatment(admission: Admission) -> None:
    fill(admission, 1)
    many = {number.to_bytes(16): "y" for number in range(5000, 5500)}
    for wanted in ({b"one": "y"}, many):
        with pytest.raises(TooBusy):
            admission.admit(wanted, math.inf)


def test_a_refusal_says_when_to_come_back(admission: Admission) -> None:
    fill(admission, 1)
    told = [retry_after(admission, texts(50_000 + number)) for number in range(1000)]
    # a thousand texts of a hundred tokens are ten seconds' work, after the one that is there, and two fifths to spare
    assert told[0] == 2
    assert max(told) in (15, 16)


def test_a_caller_that_comes_back_as_asked_goes_before_newcomers(admission: Admission, clock: Clock) -> None:
    first = fill(admission, 1)
    clock.now += retry_after(admission, texts(7))
    leave(first)
    fill(admission, 20_000)
    with pytest.raises(TooBusy):
        admission.admit(texts(8), math.inf)
    assert admission.admit(texts(7), math.inf).max_wait_s == 3


def test_large_requests_that_are_refused_make_nobody_elses_time_long(admission: Admission) -> None:
    fill(admission, 1)
    before = retry_after(admission, texts(6000))
    for number in range(20):
        retry_after(admission, {bytes([number, index % 256, index // 256]): "x" * 1000 for index in range(1000)})
    assert retry_after(admission, texts(6001)) <= before + 5


def test_a_hundred_one_word_texts_do_not_open_the_door_for_a_flood(admission: Admission) -> None:
    for number in range(100):
        admission.admit({number.to_bytes(16): "x" * 300}, math.inf).answered(answer(3))
    let_in = len([admission.admit(each, math.inf) for each in [texts(500, 510)]]) + len(fill(admission, 1000))
    assert let_in * 512 <= 10 * RATE, "a classifier, which counts real tokens, is asked at most so many times too often"


def test_the_guess_of_tokens_follows_what_the_model_counts(admission: Admission) -> None:
    for _ in range(2000):
        admission.learn_length(392, 392)  # each byte a token
    assert len(fill(admission, 1000)) == pytest.approx(RATE / 394, rel=0.05)


def test_refused_work_is_told_once(admission: Admission) -> None:
    fill(admission, 1)
    admission.news()
    retry_after(admission, texts(7))
    assert admission.news().refused_tokens == 100
    assert admission.news().refused_tokens == 0


def test_what_cannot_make_its_deadline_is_refused_at_once(admission: Admission, clock: Clock) -> None:
    for number in range(50):  # half a second's work
        admission.admit(texts(number), math.inf)
    admission.admit(texts(60), clock.now + 0.6)
    with pytest.raises(TooLate) as refused:
        admission.admit(texts(61), clock.now + 0.4)
    assert refused.value.status == 429
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert refused.value.deadline == clock.now + 0.4


def test_a_refusal_of_the_model_itself_is_told_with_a_time_and_closes_the_door(admission: Admission) -> None:
    permit = admission.admit(texts(1), math.inf)
    assert int(permit.refused(TooBusy, Load("one", 7.5, RATE)).headers["Retry-After"]) >= 8
    assert isinstance(permit.refused(TooLate), TooLate)
    with pytest.raises(TooBusy):
        admission.admit(texts(2), math.inf)


def test_a_model_that_does_not_answer_closes_the_door_until_it_is_given_up(admission: Admission, clock: Clock) -> None:
    waiting = fill(admission, 1)
    clock.now += 20
    waiting += fill(admission, 20_000)
    assert len(waiting) * 100 == pytest.approx(RATE, abs=101)
    leave(waiting)
    admission.admit(texts(30_000), math.inf)


def test_other_ingress_replicas_are_reckoned_with(clock: Clock) -> None:
    admission = Admission(SETTINGS, Metrics(), clock)
    admission.learn(Load("one", 0.0, RATE, ingresses=4))
    assert len(fill(admission, 1)) * 100 == pytest.approx(RATE / 4, abs=101)


@pytest.mark.parametrize("classifiers", [1, 4])
@pytest.mark.parametrize("ingresses", [1, 2, 4, 8])
def test_retry_after_is_kept_whichever_ingress_replica_a_caller_comes_back_to(ingresses: int, classifiers: int) -> None:
    for seed in range(5):
        result = Simulation(ingresses, classifiers, seconds=60, seed=seed).run()
        assert result.second_served > 100
        assert result.kept >= 0.99
        assert result.wait(0.99) <= Settings().max_wait_s
