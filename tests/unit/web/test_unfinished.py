"""Bodies that are being received: past the bounds, those that began first are ended, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from starlette.types import Message

from serve_app.errors import BodyTooSlow, ClientGone
from serve_app.web.body import read_body
from serve_app.web.error_replies import error_reply
from serve_app.web.unfinished import UnfinishedBodies

LIMIT = 1000


class Body:
    """A body that is sent part by part."""

    def __init__(self, unfinished: UnfinishedBodies) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.reading = asyncio.ensure_future(self._read(unfinished))

    async def _read(self, unfinished: UnfinishedBodies) -> bytes:
        return await read_body([], self._messages.get, LIMIT, 30, unfinished)

    async def send(self, part: bytes, *, last: bool = False) -> None:
        self._messages.put_nowait({"type": "http.request", "body": part, "more_body": not last})
        await settled()

    async def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})
        await settled()


async def settled() -> None:
    """Let what is ready run, and a deadline that is now come to its end."""
    for _ in range(8):
        await asyncio.sleep(0)


async def is_ended(reading: Awaitable[bytes]) -> bool:
    try:
        await reading
    except BodyTooSlow as error:
        return error_reply(error).status == 408
    return False


async def begin(unfinished: UnfinishedBodies, number: int) -> list[Body]:
    bodies = []
    for _ in range(number):
        bodies.append(Body(unfinished))
        await settled()
    return bodies


async def test_the_body_that_began_first_makes_room_for_one_too_many() -> None:
    first, second, third = await begin(UnfinishedBodies(max_bodies=2), 3)
    assert await is_ended(first.reading)
    for body in (second, third):
        await body.send(b"whole", last=True)
        assert await body.reading == b"whole"


async def test_bytes_are_bounded_over_all_bodies_as_well() -> None:
    first, second, third = await begin(UnfinishedBodies(max_bytes=100), 3)
    for body in (second, first):
        await body.send(b"x" * 50)
    assert not first.reading.done()
    await third.send(b"x" * 10)
    assert await is_ended(first.reading)
    for body in (second, third):
        await body.send(b"", last=True)
    assert (len(await second.reading), len(await third.reading)) == (50, 10)


async def test_a_body_alone_may_be_larger_than_the_bound() -> None:
    (body,) = await begin(UnfinishedBodies(max_bytes=100), 1)
    await body.send(b"x" * 500)
    await body.send(b"", last=True)
    assert len(await body.reading) == 500


async def test_bodies_that_are_whole_or_gone_take_no_room() -> None:
    unfinished = UnfinishedBodies(max_bodies=1, max_bytes=100)
    for _ in range(5):
        (body,) = await begin(unfinished, 1)
        await body.send(b"x" * 60)
        await body.send(b"x" * 60, last=True)
        assert len(await body.reading) == 120
        (gone,) = await begin(unfinished, 1)
        await gone.send(b"x" * 60)
        await gone.leave()
        with pytest.raises(ClientGone):
            await gone.reading


async def test_many_that_begin_at_once_end_in_their_order() -> None:
    bodies = await begin(UnfinishedBodies(max_bodies=10), 50)
    assert [await is_ended(body.reading) for body in bodies[:40]] == [True] * 40
    for body in bodies[40:]:
        await body.send(b"whole", last=True)
        assert await body.reading == b"whole"
