"""The caller's deadline from headers, and a wait that ends with the deadline, or when the caller goes."""

from __future__ import annotations

import asyncio
import math
import time

import pytest
from starlette.types import Message

from serve_app.errors import ClientGone, TooLate
from serve_app.predict.caller import Caller

ENVOY, OWN = b"x-envoy-expected-rq-timeout-ms", b"x-request-timeout-ms"


def seconds(headers: list[tuple[bytes, bytes]]) -> float:
    return Caller(headers).deadline() - time.monotonic()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], math.inf),
        ([(b"content-length", b"250")], math.inf),
        ([(OWN, b"250")], 0.25),
        ([(ENVOY, b"15000")], 15.0),
        ([(ENVOY, b"15000"), (OWN, b"250")], 0.25),
        ([(ENVOY, b"250"), (OWN, b"15000")], 0.25),
    ],
)
def test_the_smaller_of_both_counts(headers: list[tuple[bytes, bytes]], expected: float) -> None:
    assert seconds(headers) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("value", [b"", b"0", b"-5", b"1.5", b"1e3", b"soon", b"\xff", b" 7", b"9" * 5000, b"\xb2"])
def test_a_value_that_is_none_is_passed_over(value: bytes) -> None:
    assert seconds([(OWN, value)]) == math.inf
    assert seconds([(OWN, value), (ENVOY, b"100")]) == pytest.approx(0.1, abs=0.05)


class Connection:
    """ASGI's receive: one more message of the request, and then nothing until the client goes."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        if self.asked == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def wait_forever(caller: Caller, deadline: float = math.inf) -> None:
    async with caller.limit_wait(deadline):
        await asyncio.Event().wait()


async def test_a_wait_ends_when_the_caller_goes() -> None:
    connection = Connection()
    asyncio.get_running_loop().call_later(0.01, connection.gone.set)
    with pytest.raises(ClientGone):
        await wait_forever(Caller([], connection.receive))


async def test_a_wait_ends_at_the_deadline() -> None:
    for receive in (None, Connection().receive):
        deadline = time.monotonic() + 0.02
        with pytest.raises(TooLate) as late:
            await wait_forever(Caller([], receive), deadline)
        assert late.value.deadline == deadline


async def test_a_wait_that_is_over_leaves_nobody_watching() -> None:
    connection = Connection()
    async with Caller([], connection.receive).limit_wait(math.inf):
        await asyncio.sleep(0)
    connection.gone.set()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_another_cancellation_stays_one() -> None:
    task = asyncio.create_task(wait_forever(Caller([], Connection().receive)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
