"""What is admitted, counted in tokens, against a model of a known rate."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from serve_app.admission import Admission
from serve_app.errors import TooBusy, TooLate
from serve_app.metrics import Metrics
from serve_app.model_client import Classified
from serve_app.settings import Settings
from tests.fakes import IDENTITY

RATE, BATCH = 10_000.0, 512
SETTINGS = Settings(max_wait_s=1, batch_tokens=BATCH)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def texts(number: int, size: int = 392) -> dict[bytes, str]:
    """A hundred tokens, by the first guess of four bytes a token."""
    return {number.to_bytes(16): "x" * size}


def answer(tokens: int, rate: float = RATE) -> Classified:
    return Classified(IDENTITY, [], [False], 0.1, 0.2, 0.3, tokens, rate)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> Admission:
    """After a first answer, which tells the model's rate."""
    admission = Admission(SETTINGS, Metrics(), clock)
    with admission.admit(texts(0), math.inf) as place:
        place.answered(answer(100))
    return admission


@pytest.fixture
def held(admission: Admission) -> Iterator[ExitStack]:
    """As many texts as are admitted."""
    with ExitStack() as stack:
        fill(admission, stack, 1000)
        yield stack


def fill(admission: Admission, stack: ExitStack, first: int) -> int:
    for number in range(first, first + 10_000):
        try:
            stack.enter_context(admission.admit(texts(number), math.inf))
        except TooBusy:
            return number - first
    raise AssertionError("everything was admitted")


def test_the_bound_is_what_the_model_completes_in_the_longest_wait_and_a_batch(admission: Admission) -> None:
    with ExitStack() as stack:
        assert fill(admission, stack, 1) * 100 == pytest.approx(RATE * 1 + BATCH, abs=100)


def test_what_has_ended_makes_room(admission: Admission) -> None:
    for first in (1, 20_000):
        with ExitStack() as stack:
            assert fill(admission, stack, first) > 100


def test_an_idle_service_takes_the_largest_request(admission: Admission) -> None:
    largest = {number.to_bytes(16): "x" * 5000 for number in range(1000)}
    with admission.admit(largest, math.inf), pytest.raises(TooBusy):
        admission.admit(texts(1), math.inf)


def test_a_text_alone_and_in_a_list_get_the_same_treatment(admission: Admission, held: ExitStack) -> None:
    assert held
    many = {number.to_bytes(16): "y" for number in range(5000, 5500)}
    for wanted in ({b"one": "y"}, many):
        with pytest.raises(TooBusy):
            admission.admit(wanted, math.inf)


def test_a_refusal_tells_when_to_come_back(admission: Admission, held: ExitStack) -> None:
    assert held
    told = []
    for number in range(1000):
        with pytest.raises(TooBusy) as refused:
            admission.admit(texts(50_000 + number), math.inf)
        assert refused.value.status == 429
        told.append(int(refused.value.headers["Retry-After"]))
    # a thousand texts of a hundred tokens are ten seconds' work, after the one that is there, and two fifths to spare
    assert told[0] == 2
    assert max(told) in (15, 16)


def test_who_comes_back_as_told_goes_before_newcomers(admission: Admission, held: ExitStack, clock: Clock) -> None:
    with pytest.raises(TooBusy) as refused:
        admission.admit(texts(7), math.inf)
    clock.now += int(refused.value.headers["Retry-After"])
    with pytest.raises(TooBusy):
        admission.admit(texts(8), math.inf)
    held.enter_context(admission.admit(texts(7), math.inf))


def test_the_rate_is_learnt_from_a_busy_model_alone(admission: Admission, clock: Clock) -> None:
    bound = admission.bound
    for number in range(100):
        with admission.admit(texts(number), math.inf) as place:
            clock.now += 1  # a hundred tokens a second: so little was asked for
            place.answered(answer(100))
    assert admission.bound == bound
    for number in range(30):
        with admission.admit({number.to_bytes(16): "x" * 1992}, math.inf) as some:
            with admission.admit({b"more": "x" * 1992}, math.inf) as place:
                clock.now += 0.5
                place.answered(answer(500))
            some.answered(answer(500))
    assert admission.bound == pytest.approx(1000 / 0.5 + BATCH, rel=0.05)


def test_the_rate_is_the_models_where_batches_end_all_at_once(admission: Admission, clock: Clock) -> None:
    """Whoever comes when a batch has ended finds its room; between them some come back as told."""
    waiting: list[ExitStack] = []
    number = itertools.count(1)

    def come() -> None:
        with contextlib.suppress(TooBusy):
            stack = ExitStack()
            place = stack.enter_context(admission.admit(texts(next(number)), math.inf))
            stack.callback(place.answered, answer(100))
            waiting.append(stack)

    for _ in range(100):
        batch, waiting = waiting[:40], waiting[40:]
        for _ in range(200):
            come()
        for step in range(40):
            clock.now += 100 / RATE
            if step % 2:
                come()
        for stack in batch:
            stack.close()
    assert admission.bound == pytest.approx(RATE + BATCH, rel=0.05)


def test_an_outage_is_not_taken_for_a_rate(admission: Admission, clock: Clock) -> None:
    with admission.admit({b"a": "x" * 3000}, math.inf) as place:
        clock.now += 30
        place.answered(answer(750))
    assert admission.bound >= RATE / 2


def test_the_guess_of_tokens_follows_what_the_model_counts(admission: Admission) -> None:
    for number in range(200):
        with admission.admit(texts(number), math.inf) as place:
            place.answered(answer(2 + 392))  # each byte a token
    with ExitStack() as stack:
        assert fill(admission, stack, 1000) == pytest.approx((RATE + BATCH) / 394, rel=0.05)


def test_what_cannot_make_its_deadline_is_refused_at_once(admission: Admission, clock: Clock) -> None:
    with ExitStack() as stack:
        for number in range(50):  # half a second's work
            stack.enter_context(admission.admit(texts(number), math.inf))
        stack.enter_context(admission.admit(texts(60), clock.now + 0.6))
        with pytest.raises(TooLate) as refused:
            admission.admit(texts(61), clock.now + 0.4)
    assert refused.value.status == 429
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert refused.value.deadline == clock.now + 0.4


def test_a_refusal_of_the_model_itself_is_told_with_a_time(admission: Admission) -> None:
    with admission.admit(texts(1), math.inf) as place:
        assert int(place.refused(TooBusy(wait_s=7.5)).headers["Retry-After"]) >= 8
        assert isinstance(place.refused(TooLate()), TooLate)


def test_shares_of_several_ingress_replicas_become_equal(clock: Clock) -> None:
    """Three replicas that always have more than they may send, on one model: the late ones get their part."""
    model_rate = 30_000.0
    replicas = [Admission(SETTINGS, Metrics(), clock) for _ in range(3)]
    for replica, reported in zip(replicas, (model_rate, 300, 300), strict=True):
        with replica.admit(texts(0), math.inf) as place:
            place.answered(answer(100, reported))
    queue: list[tuple[ExitStack, Admission]] = []
    done = [0.0, 0.0, 0.0]
    for step in range(60_000):
        for turn, replica in enumerate(replicas):
            if replica._outstanding >= replica.bound:
                continue
            stack = ExitStack()
            place = stack.enter_context(replica.admit(texts(step * 3 + turn), math.inf))
            stack.callback(place.answered, answer(100))
            queue.append((stack, replica))
        clock.now += 100 / model_rate
        stack, replica = queue.pop(0)
        stack.close()
        if step > 45_000:
            done[replicas.index(replica)] += 1
    assert max(done) < 1.3 * min(done)
