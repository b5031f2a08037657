"""Which texts a pass takes, with an engine whose passes end when they are let."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from model.engine import Stream as Scorer
from model.labels import Scores
from serve_app.classifier.passes import Passes
from serve_app.classifier.queue import Request
from serve_app.metrics import Metrics
from serve_app.settings import Settings
from tests.support.wait import until_async

PASS = 100
MAX_WAIT_S, TIMEOUT_S = 1.0, 30.0


class Engine:
    """One stream or more; `release` lets a pass end."""

    precision = "fp32"

    def __init__(self, streams: int = 1) -> None:
        self.streams: Sequence[Scorer] = [self] if streams == 1 else [Stream(self) for _ in range(streams)]
        self.passes: list[list[int]] = []
        self.gate = threading.Semaphore(0)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[Scores]:
        """Scores that tell the sequence; each consists of one number, its request's."""
        self.passes.append([sequence[0] for sequence in sequences])
        self.gate.acquire()
        return [(float(sequence[0]), float(len(sequence))) for sequence in sequences]


class Stream:
    def __init__(self, engine: Engine) -> None:
        self.score = engine.score


class Setup:
    def __init__(self, streams: int = 1) -> None:
        self.engine = Engine(streams)
        self.threads = ThreadPoolExecutor(streams)
        self.passes = Passes(self.engine, self.threads, Settings(batch_tokens=PASS, max_wait_s=MAX_WAIT_S), Metrics())
        self.queue = self.passes.queue
        self.queue.tokens_per_s = 1000.0
        self.held = ExitStack()

    def add(self, number: int, *lengths: int, urgent: bool = False) -> Request:
        request = Request([None] * len(lengths), 0, math.inf if urgent else MAX_WAIT_S)
        self.held.enter_context(self.queue.track(request))
        self.passes.add(request, 0, [[number] * length for length in lengths], 0)
        return request

    async def next_pass(self) -> list[int]:
        """The requests' numbers in the pass that begins when the one that runs has ended."""
        count = len(self.engine.passes)
        self.engine.gate.release()
        await until_async(lambda: len(self.engine.passes) > count, "the next pass has begun")
        return self.engine.passes[-1]

    async def begun(self) -> None:
        await until_async(lambda: self.engine.passes, "the first pass has begun")

    def close(self) -> None:
        self.held.close()
        self.engine.gate.release(1000)
        self.threads.shutdown()


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup()
    yield setup
    setup.close()


async def test_a_pass_takes_the_oldest_texts_up_to_its_tokens(setup: Setup) -> None:
    setup.add(0, 10)
    await setup.begun()
    for number in range(1, 12):
        setup.add(number, 20)
    assert await setup.next_pass() == [1, 2, 3, 4, 5]
    assert await setup.next_pass() == [6, 7, 8, 9, 10]
    assert await setup.next_pass() == [11]


async def test_one_text_waits_for_the_rest_of_a_lists_pass_and_no_longer(setup: Setup) -> None:
    setup.add(1, *[10] * 1000)
    await setup.begun()
    assert await setup.next_pass() == [1] * 10
    setup.add(2, 10)
    assert await setup.next_pass() == [2, *[1] * 9]


async def test_lists_take_turns(setup: Setup) -> None:
    for number in (1, 2, 3):
        setup.add(number, *[50] * 10)
    await setup.begun()
    taken = [await setup.next_pass() for _ in range(6)]
    assert taken == [[2, 2], [3, 3], [1, 1], [2, 2], [3, 3], [1, 1]]


async def test_single_texts_that_keep_coming_do_not_starve_a_list(setup: Setup) -> None:
    setup.add(1, *[50] * 100)
    await setup.begun()
    waited = 0
    for round_ in range(10):
        for number in range(3):
            setup.add(100 + 10 * round_ + number, 50)
        waited = 0 if 1 in await setup.next_pass() else waited + 1
        assert waited <= 20


async def test_the_health_probe_goes_ahead_of_all(setup: Setup) -> None:
    setup.add(0, 10)
    await setup.begun()
    for number in range(1, 50):
        setup.add(number, 60)
    setup.add(99, 10, urgent=True)
    assert (await setup.next_pass())[0] == 99


async def test_a_text_longer_than_a_pass_runs_alone(setup: Setup) -> None:
    setup.add(0, 10)
    await setup.begun()
    setup.add(1, 300)
    setup.add(2, 10)
    assert await setup.next_pass() == [1]
    assert await setup.next_pass() == [2]


async def test_results_are_there_as_passes_end_and_in_order(setup: Setup) -> None:
    request = setup.add(7, 60, 61, 62)
    await setup.begun()
    await setup.next_pass()
    assert [score is not None for score in request.scores] == [True, False, False]
    await setup.next_pass()
    setup.engine.gate.release()
    await request.ended.wait()
    assert request.scores == [(7.0, 60.0), (7.0, 61.0), (7.0, 62.0)]


async def test_what_a_caller_leaves_behind_is_not_run(setup: Setup) -> None:
    setup.add(0, 10)
    await setup.begun()
    gone = Request([None] * 3, 0)
    with setup.queue.track(gone):
        setup.passes.add(gone, 0, [[1] * 50] * 3, 0)
        assert setup.queue.tokens == 160
    setup.add(2, 10)
    assert setup.queue.tokens == 20
    assert await setup.next_pass() == [2]


async def test_a_request_counts_for_no_more_than_a_pass(setup: Setup) -> None:
    setup.add(0, 10)
    await setup.begun()
    setup.add(1, *[50] * 1000)
    assert setup.queue.wait_s == pytest.approx(0.1 + 0.01)
    setup.add(2, 50)
    assert setup.queue.wait_s == pytest.approx(0.1 + 0.06)
    setup.add(3, 510)
    assert setup.queue.wait_s == pytest.approx(0.1 + 0.06 + 0.51), "which is as long as its longest text"


async def test_each_stream_runs_a_pass_of_its_own_and_one_that_is_alone_has_them_all() -> None:
    setup = Setup(streams=2)
    alone = setup.add(0, 10)
    await setup.begun()
    assert not setup.passes._free
    setup.engine.gate.release()
    await alone.ended.wait()
    setup.add(1, *[50] * 10)
    await until_async(lambda: len(setup.engine.passes) == 3, "two more passes run")
    assert setup.engine.passes[1:] == [[1, 1], [1, 1]]
    setup.close()


async def test_the_rate_is_learnt_in_steps_that_no_single_pass_makes_large(setup: Setup) -> None:
    small = setup.add(1, 10)
    setup.engine.gate.release()
    await small.ended.wait()
    assert setup.queue.tokens_per_s == 1000, "a small pass is mostly overhead"
    full = setup.add(2, PASS)
    setup.engine.gate.release()
    await full.ended.wait()
    assert setup.queue.tokens_per_s == pytest.approx(1100)


def offered(tokens: int) -> Request:
    """A list of so many tokens."""
    return Request([None] * 1000, tokens, MAX_WAIT_S, TIMEOUT_S)


async def test_a_list_that_cannot_be_done_beside_what_is_here_is_refused_for_so_long(setup: Setup) -> None:
    small, large = Request([None] * 1, 50, MAX_WAIT_S, TIMEOUT_S), offered(20_000)
    assert setup.queue.admit(large)
    assert setup.queue.admit(offered(50_000)), "alone the largest is begun"
    with setup.queue.track(large):
        assert setup.queue.admit(offered(9_000))
        too_large = offered(11_000)
        assert not setup.queue.admit(too_large)
        assert too_large.busy_s == 20.0
        assert setup.queue.admit(small), "it waits for a turn"
        large.work = 900
        setup.queue.recount(large)
        assert setup.queue.admit(offered(50_000))


async def test_what_is_admitted_beside_lists_is_done_in_time(setup: Setup) -> None:
    """Lists of any sizes, of which those that are not refused are done within the time-out, as all take turns."""
    rng = random.Random(1)
    for _ in range(200):
        sizes = [rng.randrange(200, 15_000) for _ in range(rng.randrange(1, 12))]
        with ExitStack() as held:
            for size in sizes:
                request = offered(size)
                if setup.queue.admit(request):
                    held.enter_context(setup.queue.track(request))
            assert setup.queue.tokens <= (TIMEOUT_S + MAX_WAIT_S) * 1000


async def test_of_lists_that_have_more_tokens_than_guessed_only_so_many_stay_as_are_done_in_time(setup: Setup) -> None:
    lists = [offered(1_000) for _ in range(10)]
    for each in lists:
        assert setup.queue.admit(each), "by its guess"
        setup.held.enter_context(setup.queue.track(each))
    for number, each in enumerate(lists):
        setup.passes.add(each, 0, [[number] * 50] * 80, 1_000)
    ended = [each for each in lists if each.ended.is_set()]
    assert len(ended) in {3, 4}
    assert ended[-1] is lists[-1], "not the oldest"
    assert setup.queue.tokens <= TIMEOUT_S * 1000
    assert all(each.busy_s > MAX_WAIT_S for each in ended)


async def test_when_the_model_turns_out_slower_the_newest_list_ends_and_not_a_small_one(setup: Setup) -> None:
    older, newer = (setup.add(number, *[50] * 200) for number in (1, 2))
    small = setup.add(3, 50)
    for each in (older, newer, small):
        each.timeout_s = TIMEOUT_S
    await setup.begun()
    setup.queue.tokens_per_s = 600.0
    await setup.next_pass()
    assert [each.ended.is_set() for each in (older, newer)] == [False, True]
    assert newer.busy_s > MAX_WAIT_S
    assert 2 not in [number for _ in range(10) for number in await setup.next_pass()]
    assert None not in small.scores


async def test_a_newcomer_is_refused_if_a_list_that_is_here_would_not_be_done_for_it(setup: Setup) -> None:
    older = offered(28_000)
    setup.held.enter_context(setup.queue.track(older))
    newcomer = offered(2_600)
    assert not setup.queue.admit(newcomer)
    assert newcomer.busy_s == 28.0
    assert setup.queue.admit(offered(1_500))


async def test_a_list_that_returned_when_told_is_begun_beside_others_and_stays(setup: Setup) -> None:
    for number in range(2):
        setup.held.enter_context(setup.queue.track(offered(10_000 + number)))
    returned = Request([None] * 1400, 70_000, 3 * MAX_WAIT_S, TIMEOUT_S)
    assert setup.queue.admit(returned)
    setup.held.enter_context(setup.queue.track(returned))
    setup.passes.add(returned, 0, [[7] * 50] * 1400, 70_000)
    assert not returned.ended.is_set()
    assert not setup.queue.admit(Request([None] * 1400, 70_000, 3 * MAX_WAIT_S, TIMEOUT_S)), "one at a time"


async def test_equal_texts_of_a_pass_do_not_raise_the_rate(setup: Setup) -> None:
    before = setup.queue.tokens_per_s
    texts = setup.add(1, *[10] * 10)
    setup.engine.gate.release()
    await texts.ended.wait()
    assert setup.queue.tokens_per_s == before


async def test_after_an_error_no_more_of_a_list_is_run(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(sequences: Sequence[Sequence[int]]) -> list[Scores]:
        setup.engine.passes.append([sequence[0] for sequence in sequences])
        raise RuntimeError("the model fails")

    monkeypatch.setattr(setup.engine, "score", fail)
    failed = setup.add(1, *[50] * 10)
    await failed.ended.wait()
    assert isinstance(failed.error, RuntimeError)
    assert setup.engine.passes == [[1, 1]]


async def test_a_list_goes_on_beside_little_else_though_it_is_late(setup: Setup) -> None:
    large = setup.add(1, *[50] * 1000)
    large.timeout_s = TIMEOUT_S
    await setup.begun()
    for number in range(2, 10):
        setup.add(number, 50)
        await setup.next_pass()
    assert not large.ended.is_set()


async def test_the_rate_in_guessed_tokens_follows_how_far_guesses_are_off(setup: Setup) -> None:
    assert setup.passes.guessed_per_s == 1000
    request = Request([None] * 0, 0)
    for _ in range(1000):  # one-word texts
        setup.passes.add(request, 0, [[7] * 3], 3)
    assert setup.passes.guessed_per_s == 1000
    for _ in range(500):  # each byte a token
        setup.passes.add(request, 0, [[7] * 402], 102)
    assert setup.passes.guessed_per_s == pytest.approx(1000 * 102 / 402, rel=0.1)


async def test_a_list_delays_another_by_no_more_than_the_others_work(setup: Setup) -> None:
    setup.held.enter_context(setup.queue.track(offered(500_000)))
    assert setup.queue.admit(offered(PASS + 1))
    assert setup.queue.admit(offered(3_000))


async def test_a_list_is_asked_back_no_later_than_the_time_outs_of_those_ahead(setup: Setup) -> None:
    setup.held.enter_context(setup.queue.track(offered(500_000)))
    refused = offered(400_000)
    assert not setup.queue.admit(refused)
    assert refused.busy_s == pytest.approx(TIMEOUT_S, abs=1)


async def test_a_list_that_is_in_time_does_not_end_for_one_that_is_late_anyway(setup: Setup) -> None:
    hurried = setup.add(1, *[50] * 60)
    hurried.timeout_s = 3.4
    punctual = setup.add(2, *[50] * 5)
    punctual.timeout_s = TIMEOUT_S
    for number in range(3, 20):
        setup.add(number, 90)
    await setup.begun()
    await setup.next_pass()
    assert hurried.ended.is_set()
    assert not punctual.ended.is_set()


def counted(setup: Setup) -> tuple[int, int]:
    """The sums that the queue keeps, made afresh."""
    requests = list(setup.queue)
    longest = [max(PASS, len(each.waiting[0][1]) if each.waiting else 0) for each in requests]
    turns = [min(each.work, turn) for each, turn in zip(requests, longest, strict=True)]
    return sum(each.work for each in requests), sum(turns)


async def test_the_sums_stay_those_of_all_requests(setup: Setup) -> None:
    rng = random.Random(2)
    for number in range(40):
        setup.add(number, *[rng.randrange(2, 90) for _ in range(rng.randrange(1, 8))])
    await setup.begun()
    while len(setup.engine.passes) < 60 and any(each.waiting for each in setup.queue):
        await setup.next_pass()
        assert (setup.queue.tokens, setup.queue._turns) == counted(setup)
    setup.held.close()
    assert (setup.queue.tokens, setup.queue._turns) == (0, 0)
    assert not setup.queue._lists
