"""Turns on an engine's lanes: who goes together, who has the whole engine, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from serve_app.lanes import FAR_BEHIND, LARGER, Lanes

BATCH = 100


class Batches:
    """Stands where serve.batch stands: all that were let go at once are a batch, which runs until it is told to end."""

    def __init__(self, lanes: int) -> None:
        self.lanes = Lanes(range(lanes), BATCH)
        self.formed: list[tuple[list[str], bool]] = []
        self.running: list[AsyncExitStack] = []
        self._queue: list[tuple[str, bool]] = []

    def ask(self, name: str, tokens: int = 10) -> asyncio.Task[None]:
        return asyncio.create_task(self._ask(name, tokens))

    async def _ask(self, name: str, tokens: int) -> None:
        async with self.lanes.turn(tokens) as whole:
            self._queue.append((name, whole))
            await asyncio.Event().wait()

    async def settle(self) -> None:
        """Form a batch of all that came together, as often as some came."""
        for _ in range(20):
            await asyncio.sleep(0)
            if self._queue:
                batch, self._queue = self._queue, []
                stack = AsyncExitStack()
                await stack.enter_async_context(self.lanes.take(whole=batch[0][1]))
                self.formed.append(([name for name, _ in batch], batch[0][1]))
                self.running.append(stack)

    async def end(self, index: int = 0) -> None:
        await self.running.pop(index).aclose()
        await self.settle()


async def test_one_alone_has_the_whole_engine_and_the_next_wait_for_it() -> None:
    batches = Batches(2)
    tasks = [batches.ask("first")]
    await batches.settle()
    tasks += [batches.ask(name) for name in "abcd"]
    await batches.settle()
    assert batches.formed == [(["first"], True)]
    await batches.end()
    assert batches.formed[1:] == [(["a", "b"], False), (["c", "d"], False)]
    assert batches.lanes.busy == 2
    for task in tasks:
        task.cancel()


async def test_with_one_lane_all_that_waits_goes_together_within_the_batchs_tokens() -> None:
    batches = Batches(1)
    tasks = [batches.ask("first")]
    await batches.settle()
    tasks += [batches.ask(str(number), 40) for number in range(5)]
    await batches.settle()
    await batches.end()
    await batches.end()
    await batches.end()
    assert [names for names, _ in batches.formed] == [["first"], ["0", "1"], ["2", "3"], ["4"]]
    for task in tasks:
        task.cancel()


async def test_batches_are_larger_where_the_engine_is_far_behind() -> None:
    batches = Batches(1)
    tasks = [batches.ask("first")]
    await batches.settle()
    tasks += [batches.ask(str(number), 50) for number in range((FAR_BEHIND + LARGER) * 2)]
    await batches.settle()
    for _ in range(6):
        await batches.end()
    assert [len(names) for names, _ in batches.formed[1:]] == [LARGER * 2, 2, 2, 2, 2]
    for task in tasks:
        task.cancel()


async def test_lanes_that_are_free_share_what_waits_and_one_alone_takes_it_all() -> None:
    batches = Batches(3)
    tasks = [batches.ask("first")]
    await batches.settle()
    tasks += [batches.ask(str(number)) for number in range(6)]
    await batches.settle()
    await batches.end()
    assert [names for names, _ in batches.formed[1:]] == [["0", "1"], ["2", "3"], ["4", "5"]]
    tasks += [batches.ask(name) for name in "abc"]
    await batches.settle()
    await batches.end(1)
    assert batches.formed[4:] == [(["a", "b", "c"], False)]
    for task in tasks:
        task.cancel()


@pytest.mark.parametrize("when", ["waiting", "let go"])
async def test_what_is_cancelled_before_its_batch_begins_keeps_nobody_waiting(when: str) -> None:
    batches = Batches(1)
    first = batches.ask("first")
    await batches.settle()
    gone, stays = batches.ask("gone", BATCH), batches.ask("stays", BATCH)
    await asyncio.sleep(0)
    if when == "waiting":
        gone.cancel()
    await batches.running.pop().aclose()
    if when == "let go":
        gone.cancel()  # its turn has come, and it has not seen that yet
    await batches.settle()
    assert batches.formed[1:] == [(["stays"], False)] or batches.formed[1:] == [(["stays"], True)]
    for task in (first, stays):
        task.cancel()


@pytest.mark.parametrize("lanes", [1, 2, 4])
async def test_whatever_comes_and_goes_everything_that_stays_has_its_turn(lanes: int) -> None:
    chance = random.Random(lanes)
    batches = Batches(lanes)
    tasks: dict[str, asyncio.Task[None]] = {}
    for number in range(400):
        tasks[str(number)] = batches.ask(str(number), chance.randint(1, BATCH))
        if chance.random() < 0.2:
            tasks.pop(chance.choice(list(tasks))).cancel()
        if chance.random() < 0.5:
            await batches.settle()
        assert len(batches.running) <= lanes
        if batches.running and chance.random() < 0.6:
            await batches.end(chance.randrange(len(batches.running)))
    while batches.running:
        await batches.end()
    await batches.settle()
    assert set(tasks) <= {name for names, _ in batches.formed for name in names}
    assert batches.lanes.busy == 0
    for task in tasks.values():
        task.cancel()
