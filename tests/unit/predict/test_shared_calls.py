"""Small requests share calls while the model is busy, and each gets its own answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest

from serve_app.errors import ModelUnavailable
from serve_app.messages import Answer
from serve_app.predict.shared_calls import FULL_BYTES, GATHER_FRACTION, MAX_GATHER_S, SharedCalls
from tests.support.fakes import Gate, answer, fake_scores
from tests.support.wait import until_async

BUSY_S, MAX_WAIT_S = 1.0, 2.0
FEW = 10


class Sender:
    """Answers calls at once, or when `gate` opens; keeps every call."""

    def __init__(self) -> None:
        self.calls: list[list[Sequence[str]]] = []
        self.waits: list[float] = []
        self.gate = Gate()
        self.gate.set()

    async def __call__(self, requests: Sequence[Sequence[str]], max_wait_s: float) -> list[Answer | None]:
        self.calls.append(list(requests))
        self.waits.append(max_wait_s)
        await self.gate.wait()
        if any("broken" in texts for texts in requests):
            raise ModelUnavailable
        return [None if "failed" in texts else answer(*map(fake_scores, texts)) for texts in requests]


async def test_concurrent_requests_share_a_call_and_each_gets_its_own_answer() -> None:
    sender = Sender()
    shared = SharedCalls(sender)
    lists = [[f"text {number}", f"and {number}"][: 1 + number % 2] for number in range(5)]
    answers = await asyncio.gather(*(shared.classify(texts, FEW, MAX_WAIT_S, BUSY_S) for texts in lists))
    assert sender.calls == [lists]
    assert [found.scores for found in answers if found] == [tuple(map(fake_scores, texts)) for texts in lists]


async def test_a_request_joins_within_the_time_to_gather_and_not_later() -> None:
    sender = Sender()
    shared = SharedCalls(sender)
    first = asyncio.create_task(shared.classify(["first"], FEW, MAX_WAIT_S, BUSY_S))
    await asyncio.sleep(0)
    await asyncio.gather(first, shared.classify(["second"], FEW, MAX_WAIT_S, BUSY_S))
    await shared.classify(["third"], FEW, MAX_WAIT_S, BUSY_S)
    assert sender.calls == [[["first"], ["second"]], [["third"]]]


@pytest.mark.parametrize(
    ("spare_s", "gather_s"), [(0.2, 0.2 * GATHER_FRACTION), (MAX_GATHER_S / GATHER_FRACTION + 1, MAX_GATHER_S)]
)
async def test_a_request_waits_for_others_for_a_part_of_its_spare_time(spare_s: float, gather_s: float) -> None:
    sender = Sender()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await SharedCalls(sender).classify(["alone"], FEW, MAX_WAIT_S, spare_s)
    assert gather_s <= loop.time() - began < gather_s + 0.1


async def test_requests_that_may_find_queues_of_different_lengths_share_no_call() -> None:
    sender = Sender()
    shared = SharedCalls(sender)
    waits = [1.0, 2.0, 1.0]
    await asyncio.gather(*(shared.classify([f"{wait}"], FEW, wait, BUSY_S) for wait in waits))
    assert dict(zip(sender.waits, sender.calls, strict=True)) == {1.0: [["1.0"], ["1.0"]], 2.0: [["2.0"]]}


async def test_texts_of_callers_who_have_gone_are_not_sent() -> None:
    sender = Sender()
    shared = SharedCalls(sender)
    requests = [asyncio.create_task(shared.classify([text], FEW, MAX_WAIT_S, BUSY_S)) for text in ("gone", "good")]
    await asyncio.sleep(0)
    requests[0].cancel()
    found = await requests[1]
    assert sender.calls == [[(), ["good"]]]
    assert found is not None
    assert found.scores == (fake_scores("good"),)


async def test_a_full_call_is_sent_at_once_and_followed_by_another() -> None:
    sender = Sender()
    shared = SharedCalls(sender)
    sizes = [FULL_BYTES - 1, 1, FULL_BYTES, FEW, FULL_BYTES, FEW]
    last = [asyncio.create_task(shared.classify([f"{size}"], size, MAX_WAIT_S, math.inf)) for size in sizes].pop()
    async with asyncio.timeout(MAX_GATHER_S / 2):
        await until_async(lambda: len(sender.calls) == 3, "the full calls are sent")
    await last
    assert [len(requests) for requests in sender.calls] == [2, 1, 2, 1]


async def test_a_failed_request_fails_no_other() -> None:
    shared = SharedCalls(Sender())
    failed, good = await asyncio.gather(
        *(shared.classify([text], FEW, MAX_WAIT_S, BUSY_S) for text in ("failed", "good"))
    )
    assert failed is None
    assert good is not None


async def test_a_failed_call_fails_all_of_its_requests() -> None:
    shared = SharedCalls(Sender())
    calls = (shared.classify([text], FEW, MAX_WAIT_S, BUSY_S) for text in ("broken", "good"))
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [ModelUnavailable] * 2


async def test_a_call_is_cancelled_with_the_last_of_its_callers() -> None:
    sender = Sender()
    sender.gate.clear()
    shared = SharedCalls(sender)
    one, other = (asyncio.create_task(shared.classify([text], FEW, MAX_WAIT_S, BUSY_S)) for text in ("one", "other"))
    await until_async(lambda: len(sender.calls) == 1, "the call is sent")
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    assert not sender.gate.cancelled
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    await until_async(lambda: sender.gate.cancelled == 1, "the call is cancelled")


async def test_no_request_joins_a_call_that_was_cancelled_before_it_was_sent() -> None:
    sender = Sender()
    shared = SharedCalls(sender)
    gone = asyncio.create_task(shared.classify(["gone"], FEW, MAX_WAIT_S, BUSY_S))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert await shared.classify(["later"], FEW, MAX_WAIT_S, BUSY_S) is not None
    assert sender.calls == [[["later"]]]
