from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from serve_app.predict.single_flight import SingleFlight
from tests.support.fakes import Gate
from tests.support.wait import until_async

R = TypeVar("R")
Job = Callable[[Mapping[str, int]], Coroutine[Any, Any, R]]


def begin(job: Job[R]) -> Callable[[Mapping[str, int]], asyncio.Task[R]]:
    """A start of the job as a task."""
    return lambda wanted: asyncio.get_running_loop().create_task(job(wanted))


class Work:
    def __init__(self) -> None:
        self.calls: list[dict[str, int]] = []
        self.gate = Gate()

    async def __call__(self, wanted: Mapping[str, int]) -> dict[str, int]:
        self.calls.append(dict(wanted))
        await self.gate.wait()
        return {key: value * 2 for key, value in wanted.items()}


async def test_a_thousand_callers_of_one_key_are_one_piece_of_work() -> None:
    work = Work()
    flights: SingleFlight[str, int, dict[str, int]] = SingleFlight()
    callers = [asyncio.create_task(flights.run({"a": 1}, begin(work))) for _ in range(1000)]
    await until_async(lambda: work.calls, "the work began")
    work.gate.set()
    results = await asyncio.gather(*callers)
    assert work.calls == [{"a": 1}]
    assert sum(own is not None for own, _ in results) == 1
    assert all((own or joined[0]) == {"a": 2} for own, joined in results)


async def test_a_caller_works_only_on_what_nobody_works_on_yet() -> None:
    work = Work()
    flights: SingleFlight[str, int, dict[str, int]] = SingleFlight()
    first = asyncio.create_task(flights.run({"a": 1, "b": 2}, begin(work)))
    await until_async(lambda: work.calls, "the work began")
    second = asyncio.create_task(flights.run({"b": 2, "c": 3}, begin(work)))
    await until_async(lambda: len(work.calls) == 2, "the second work began")
    work.gate.set()
    await first
    assert await second == ({"c": 6}, [{"a": 2, "b": 4}])
    assert work.calls == [{"a": 1, "b": 2}, {"c": 3}]


async def test_a_caller_that_goes_leaves_the_work_to_the_others() -> None:
    work = Work()
    flights: SingleFlight[str, int, dict[str, int]] = SingleFlight()
    leader = asyncio.create_task(flights.run({"a": 1}, begin(work)))
    await until_async(lambda: work.calls, "the work began")
    follower = asyncio.create_task(flights.run({"a": 1}, begin(work)))
    await asyncio.sleep(0)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    work.gate.set()
    assert await follower == (None, [{"a": 2}])
    assert work.gate.cancelled == 0


async def test_work_is_cancelled_when_the_last_caller_goes_and_then_begins_anew() -> None:
    work = Work()
    flights: SingleFlight[str, int, dict[str, int]] = SingleFlight()
    callers = [asyncio.create_task(flights.run({"a": 1}, begin(work))) for _ in range(3)]
    await until_async(lambda: work.calls, "the work began")
    for caller in callers:
        caller.cancel()
    newcomer = asyncio.create_task(flights.run({"a": 1}, begin(work)))
    await asyncio.gather(*callers, return_exceptions=True)
    await until_async(lambda: len(work.calls) == 2 or newcomer.done(), "the newcomer was served")
    work.gate.set()
    own, joined = await newcomer
    assert (own or joined[0]) == {"a": 2}


async def test_a_failure_reaches_every_caller_and_is_not_kept() -> None:
    fail = True

    async def work(wanted: Mapping[str, int]) -> dict[str, int]:
        await asyncio.sleep(0)
        if fail:
            raise LookupError
        return dict(wanted)

    flights: SingleFlight[str, int, dict[str, int]] = SingleFlight()
    results = await asyncio.gather(*(flights.run({"a": 1}, begin(work)) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 3
    fail = False
    assert await flights.run({"a": 1}, begin(work)) == ({"a": 1}, [])


async def test_who_is_refused_at_once_leaves_nothing_behind() -> None:
    work = Work()
    refuse = False

    def start(wanted: Mapping[str, int]) -> asyncio.Task[dict[str, int]]:
        if refuse:
            raise LookupError
        return begin(work)(wanted)

    flights: SingleFlight[str, int, dict[str, int]] = SingleFlight()
    first = asyncio.create_task(flights.run({"a": 1}, start))
    await until_async(lambda: work.calls, "the work began")
    refuse = True
    with pytest.raises(LookupError):
        await flights.run({"a": 1, "b": 2}, start)
    assert flights.joins("a", 1)
    assert not flights.joins("b", 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await until_async(lambda: work.gate.cancelled, "whom the refused one had joined is not kept for it")


async def test_the_wait_can_be_ended_from_outside() -> None:
    work = Work()

    @asynccontextmanager
    async def a_moment() -> AsyncIterator[None]:
        async with asyncio.timeout(0.02):
            yield

    flights: SingleFlight[str, int, dict[str, int]] = SingleFlight()
    with pytest.raises(TimeoutError):
        await flights.run({"a": 1}, begin(work), a_moment)
    await until_async(lambda: work.gate.cancelled, "nobody waits any more")


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_an_error_is_gone_with_those_who_saw_it() -> None:
    """No ring is left for Python's collector, whose rounds would stop everything else."""
    errors: list[weakref.ref[BaseException]] = []

    class Refused(Exception):
        pass

    async def refuse(_: Mapping[str, int]) -> None:
        error = Refused()
        errors.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    async def see(flights: SingleFlight[str, int, None]) -> None:
        try:  # pytest.raises would keep it
            await flights.run({"a": 1}, begin(refuse))
        except Refused:
            return
        raise AssertionError("nothing was raised")

    flights: SingleFlight[str, int, None] = SingleFlight()
    await asyncio.gather(*(asyncio.create_task(see(flights)) for _ in range(3)))
    await asyncio.sleep(0)
    assert [error() for error in errors] == [None]


async def test_what_is_large_is_joined_by_what_is_at_least_half_as_large() -> None:
    work = Work()
    flights: SingleFlight[str, int, dict[str, int]] = SingleFlight()
    large = {str(number): number for number in range(50)}
    half = {key: value for key, value in large.items() if value >= 25}
    callers = [asyncio.create_task(flights.run(large, begin(work)))]
    await until_async(lambda: work.calls, "the work began")
    for wanted in ({"1": 1}, {"1": 1}, half, {"1": 1, "new": 3}):
        callers.append(asyncio.create_task(flights.run(wanted, begin(work))))
        await asyncio.sleep(0)
    await until_async(lambda: len(work.calls) == 3, "three works began")
    work.gate.set()
    results = await asyncio.gather(*callers)
    assert work.calls == [large, {"1": 1}, {"new": 3}]
    assert results[2] == (None, [{"1": 2}])
    assert results[3] == (None, [{key: 2 * value for key, value in large.items()}])
    assert results[4] == ({"new": 6}, [{"1": 2}])
    assert not flights.joins("1", 100)
