"""Handle calls that requests share while the model is busy.

A call costs both processes CPU, which the engine needs; requests that arrive one by one would cost more than the model
itself. It returns when the last of its requests is done, so only small ones should share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from serve_app.messages import Answer

MAX_GATHER_S = 0.2
"""How long a request waits for others at most; it would otherwise wait in the model's queue."""
GATHER_FRACTION = 1 / 4
"""How much of `spare_s` a request waits for others, at most."""
FULL_BYTES = 1000
"""A call of so many bytes of text, about 16 sentences, is sent at once."""

Send = Callable[[Sequence[Sequence[str]], float], Awaitable[Sequence[Answer | None]]]
"""Sends several requests and the longest queue that they may find; gives None for a request that failed."""


@dataclass(eq=False)
class _Call:
    max_wait_s: float
    requests: list[Sequence[str]] = field(default_factory=list)
    size: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[Sequence[Answer | None]] = field(init=False)


class SharedCalls:
    """Collects requests and sends them together."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._open: dict[float, _Call] = {}

    async def classify(self, texts: Sequence[str], size: int, max_wait_s: float, spare_s: float) -> Answer | None:
        """The answer for texts of `size` bytes, which would otherwise wait `spare_s` behind the passes that run.

        When a caller is cancelled, its call goes on for the others; with the last of them the call is cancelled.
        """
        call = self._open.get(max_wait_s)
        if call is None:
            call = self._open[max_wait_s] = _Call(max_wait_s)
            asyncio.get_running_loop().call_later(min(MAX_GATHER_S, spare_s * GATHER_FRACTION), self._close, call)
            call.task = asyncio.create_task(self._send_when_full(call))
        index = len(call.requests)
        call.requests.append(texts)
        call.size += size
        if call.size >= FULL_BYTES:
            self._close(call)
        try:
            await asyncio.wait([call.task])
            return call.task.result()[index]
        finally:
            if not call.task.done():
                call.requests[index] = ()  # unless the call has been sent, these texts are not computed
                call.size -= size
                if not any(call.requests):
                    call.task.cancel()
                    self._close(call)  # at once, so that no request joins it now
            del call  # an error's traceback holds this frame: a cycle that only the garbage collector frees

    async def _send_when_full(self, call: _Call) -> Sequence[Answer | None]:
        await call.full.wait()
        return await self._send(call.requests, call.max_wait_s)

    def _close(self, call: _Call) -> None:
        call.full.set()
        if self._open.get(call.max_wait_s) is call:
            del self._open[call.max_wait_s]
