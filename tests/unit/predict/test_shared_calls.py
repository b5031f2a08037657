"""Small requests share calls while the model is busy, and each gets its own answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from serve_app.errors import ModelUnavailable
from serve_app.messages import Answer, Ask
from serve_app.predict.shared_calls import MAX_GATHER_S, MAX_TOKENS, SharedCalls
from tests.support.fakes import Gate, answer, fake_scores
from tests.support.wait import until_async

BUSY_S, MAX_WAIT_S = 1.0, 2.0
FEW = 10


class Sender:
    """Answers calls at once, or when `gate` opens; keeps every call."""

    def __init__(self) -> None:
        self.calls: list[list[Ask]] = []
        self.gate = Gate()
        self.gate.set()

    async def __call__(self, asks: Sequence[Ask]) -> list[Answer | None]:
        self.calls.append(list(asks))
        await self.gate.wait()
        if any("broken" in texts for texts, _ in asks):
            raise ModelUnavailable
        return [None if "failed" in texts else answer(*map(fake_scores, texts)) for texts, _ in asks]


async def test_concurrent_requests_share_a_call_and_each_gets_its_own_answer() -> None:
    sender = Sender()
    shared = SharedCalls(sender)
    lists = [[f"text {number}", f"and {number}"][: 1 + number % 2] for number in range(5)]
    answers = await asyncio.gather(*(shared.classify(texts, FEW, MAX_WAIT_S + len(texts), BUSY_S) for texts in lists))
    assert sender.calls == [[(texts, MAX_WAIT_S + len(texts)) for texts in lists]]
    assert [found.scores for found in answers if found] == [tuple(map(fake_scores, texts)) for texts in lists]


async def test_a_request_joins_within_the_time_to_gather_and_not_later() -> None:
    sender = Sender()
    shared = SharedCalls(sender)
    first = asyncio.create_task(shared.classify(["first"], FEW, MAX_WAIT_S, BUSY_S))
    await asyncio.sleep(0)
    await asyncio.gather(first, shared.classify(["second"], FEW, MAX_WAIT_S, BUSY_S))
    await shared.classify(["third"], FEW, MAX_WAIT_S, BUSY_S)
    assert [[texts for texts, _ in asks] for asks in sender.calls] == [[["first"], ["second"]], [["third"]]]


async def test_a_full_call_is_sent_at_once_and_followed_by_another() -> None:
    sender = Sender()
    shared = SharedCalls(sender)
    sizes = [MAX_TOKENS - 1, 1, MAX_TOKENS, FEW, MAX_TOKENS, FEW]
    last = [asyncio.create_task(shared.classify([f"{size}"], size, MAX_WAIT_S, math.inf)) for size in sizes].pop()
    async with asyncio.timeout(MAX_GATHER_S / 2):
        await until_async(lambda: len(sender.calls) == 3, "the full calls are sent")
    await last
    assert [len(asks) for asks in sender.calls] == [2, 1, 2, 1]


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
    assert [[texts for texts, _ in asks] for asks in sender.calls] == [[["later"]]]
