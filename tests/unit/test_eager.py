from __future__ import annotations

import asyncio

import pytest

from serve_app.eager import Begun


async def test_what_is_there_needs_no_waiting() -> None:
    async def there() -> str:
        return "now"

    assert Begun(there()).result == "now"


async def test_what_is_not_there_is_waited_for() -> None:
    gate = asyncio.Event()

    async def late() -> str:
        await gate.wait()
        await asyncio.sleep(0)
        return "later"

    begun = Begun(late())
    assert begun.result is None
    asyncio.get_running_loop().call_soon(gate.set)
    assert await begun == "later"


async def test_a_limit_ends_the_wait_and_leaves_nothing_behind() -> None:
    ended = []

    async def never() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return ""

    begun = Begun(never())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await begun
    del begun
    assert ended == [True]


async def test_an_error_comes_out() -> None:
    async def breaks() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        Begun(breaks())
