"""Reads gathered while one is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from serve_app.cache.read_coalescer import ReadCoalescer
from tests.support.wait import until_async


class Store:
    """Knows every key's square; answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.deadlines: list[float] = []
        self.gate = asyncio.Event()

    async def fetch(self, keys: list[int], deadline: float) -> Mapping[int, int]:
        self.asked.append(keys)
        self.deadlines.append(deadline)
        await self.gate.wait()
        return {key: key * key for key in keys}


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_comes_while_one_is_under_way_goes_out_as_one() -> None:
    store = Store()
    gather = ReadCoalescer(store.fetch, timeout_s=1, max_keys=100)
    reads = [asyncio.create_task(gather.get([1]))]
    await turn()
    reads += [asyncio.create_task(gather.get(keys)) for keys in ([2, 3], [3], [4])]
    await turn()
    assert store.asked == [[1]]
    store.gate.set()
    answers = await asyncio.gather(*reads)
    assert store.asked == [[1], [2, 3, 4]]
    assert [answers[0][1], answers[1][2], answers[1][3], answers[2][3], answers[3][4]] == [1, 4, 9, 9, 16]


async def test_a_call_holds_at_most_max_keys() -> None:
    store = Store()
    store.gate.set()
    gather = ReadCoalescer(store.fetch, timeout_s=1, max_keys=3)
    await asyncio.gather(*(gather.get(keys) for keys in ([1, 2], [3], [4], [5, 6])))
    assert store.asked == [[1, 2, 3], [4, 5, 6]]


async def test_a_large_read_takes_several_calls_and_others_go_between() -> None:
    store = Store()
    store.gate.set()
    gather = ReadCoalescer(store.fetch, timeout_s=1, max_keys=3)
    large, small = await asyncio.gather(gather.get(range(8)), gather.get([9]))
    assert store.asked == [[0, 1, 2], [9], [3, 4, 5], [6, 7]]
    assert large == {key: key * key for key in range(8)}
    assert small[9] == 81


async def test_a_calls_time_begins_when_it_is_sent() -> None:
    store = Store()
    store.gate.set()
    loop = asyncio.get_running_loop()
    gather = ReadCoalescer(store.fetch, timeout_s=7, max_keys=100)
    before = loop.time()
    await asyncio.gather(gather.get([1]), gather.get([2]))
    assert before + 7 <= store.deadlines[0] <= loop.time() + 7


async def test_time_in_the_queue_is_no_fault_of_the_store() -> None:
    loop = asyncio.get_running_loop()
    left: list[float] = []

    async def fetch(keys: list[int], deadline: float) -> Mapping[int, int]:
        left.append(deadline - loop.time())
        await asyncio.sleep(0.015)
        return dict.fromkeys(keys, 0)

    gather = ReadCoalescer(fetch, timeout_s=0.02, max_keys=1)
    answers = await asyncio.gather(*(gather.get([number]) for number in range(12)))
    assert answers == [{number: 0} for number in range(12)], (
        "twelve times the store's own time is more than the time-out"
    )
    assert min(left) > 0.015


async def test_a_read_that_has_waited_too_long_for_its_turn_is_not_sent() -> None:
    store = Store()
    gather = ReadCoalescer(store.fetch, timeout_s=0.0001, max_keys=1)
    first = asyncio.create_task(gather.get([1]))
    await turn()
    second = asyncio.create_task(gather.get([2]))
    over = asyncio.get_running_loop().time() + 21 * 0.0001
    await until_async(lambda: asyncio.get_running_loop().time() > over, "its time is over")
    store.gate.set()
    assert (await first)[1] == 1
    assert await second == {}
    assert store.asked == [[1]]


async def test_a_read_that_has_waited_too_long_keeps_no_later_one_from_being_sent() -> None:
    store = Store()
    gather = ReadCoalescer(store.fetch, timeout_s=0.005, max_keys=100)
    first = asyncio.create_task(gather.get([1]))
    await turn()
    second = asyncio.create_task(gather.get([2]))
    over = asyncio.get_running_loop().time() + 21 * 0.005
    await until_async(lambda: asyncio.get_running_loop().time() > over, "its time is over")
    third = asyncio.create_task(gather.get([3]))
    await turn()
    store.gate.set()
    await first
    assert await second == {}
    assert await third == {3: 9}
    assert store.asked == [[1], [3]]


async def test_a_late_answer_is_missed_only_by_those_it_was_for() -> None:
    asked: list[list[int]] = []
    gate = asyncio.Event()

    async def fetch(keys: list[int], _: float) -> Mapping[int, int]:
        asked.append(keys)
        await gate.wait()
        return {} if 0 in keys else dict.fromkeys(keys, 1)

    gather = ReadCoalescer(fetch, timeout_s=1, max_keys=1)
    reads = [asyncio.create_task(gather.get([number])) for number in range(3)]
    await turn()
    gate.set()
    assert await asyncio.gather(*reads) == [{}, {1: 1}, {2: 1}]
    assert asked == [[0], [1], [2]]


async def test_a_caller_that_went_harms_nobody() -> None:
    store = Store()
    gather = ReadCoalescer(store.fetch, timeout_s=1, max_keys=100)
    gone, stays = asyncio.create_task(gather.get([1])), asyncio.create_task(gather.get([2]))
    await turn()
    gone.cancel()
    waits = asyncio.create_task(gather.get([4]))
    await turn()
    waits.cancel()
    await turn()
    store.gate.set()
    assert (await stays)[2] == 4
    assert [4] not in store.asked
    assert (await gather.get([3]))[3] == 9


async def test_an_error_reaches_those_it_is_for_and_the_next_read_is_fine() -> None:
    async def fetch(keys: list[int], deadline: float) -> Mapping[int, int]:
        assert deadline
        if 1 in keys:
            raise ValueError("no such key")
        return dict.fromkeys(keys, 0)

    gather = ReadCoalescer(fetch, timeout_s=1, max_keys=100)
    with pytest.raises(ValueError, match="no such key"):
        await gather.get([1])
    assert await gather.get([2]) == {2: 0}
