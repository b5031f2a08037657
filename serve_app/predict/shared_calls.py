"""Handle calls that requests share while the model is busy.

A call costs both processes CPU, which the engine needs; requests that arrive one by one would cost more than the model
itself. It returns when the last of its requests is done, so only small ones share, and few of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from serve_app.messages import Answer, Ask

MAX_GATHER_S = 0.2
"""How long a request waits for others at most; it would otherwise wait in the model's queue."""
GATHER_FRACTION = 1 / 4
"""How much of `spare_s` a request waits for others, at most."""
MAX_TOKENS = 256
"""A call is full with so many tokens, as `guess_tokens` counts them: about 16 sentences. A request with more has a call
of its own, or the others of its call would wait until all of it is done."""


@dataclass(eq=False)
class _Call:
    asks: list[Ask] = field(default_factory=list)
    tokens: int = 0
    callers: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[Sequence[Answer | None]] = field(init=False)


class SharedCalls:
    """Collects requests and sends them together by `send`, which answers each, or gives None for one that failed."""

    def __init__(self, send: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer | None]]]) -> None:
        self._send = send
        self._open: _Call | None = None

    async def classify(self, texts: Sequence[str], tokens: int, max_wait_s: float, spare_s: float) -> Answer | None:
        """The answer for the texts, which would otherwise wait for `spare_s` behind the passes that are running.

        When a caller is cancelled, its call goes on for the others; with the last of them the call is cancelled.
        """
        call = self._open
        if call is None:
            call = self._open = _Call()
            gather_s = min(MAX_GATHER_S, spare_s * GATHER_FRACTION)
            call.task = asyncio.create_task(self._gather_and_send(call, gather_s))
        index = len(call.asks)
        call.asks.append((texts, max_wait_s))
        call.tokens += tokens
        call.callers += 1
        if call.tokens >= MAX_TOKENS:
            self._close(call)
            call.full.set()
        try:
            await asyncio.wait([call.task])
            return call.task.result()[index]
        finally:
            call.callers -= 1
            if not call.callers and not call.task.done():
                call.task.cancel()
                self._close(call)  # at once, so that no request joins it now
            del call  # an error's traceback holds this frame: a cycle that only the garbage collector frees

    async def _gather_and_send(self, call: _Call, gather_s: float) -> Sequence[Answer | None]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(gather_s):
                await call.full.wait()
        self._close(call)
        return await self._send(call.asks)

    def _close(self, call: _Call) -> None:
        if self._open is call:
            self._open = None
