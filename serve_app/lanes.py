"""Whose turn it is on the engine's lanes, and how much of what waits goes together."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

FAR_BEHIND, LARGER = 4, 4
"""How many batches wait from which on they are larger, and how many times so: what is alike then runs in fuller groups.

A request then waits for the rest of a larger batch, but behind so much it waits for several batches' time anyway."""

L = TypeVar("L")


@dataclass(eq=False, slots=True)
class _Waiter:
    tokens: int
    turn: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Set when its turn has come: to whether it has the whole engine."""


class Lanes(Generic[L]):
    """Holds items back while every lane is busy, and has the free lanes share what waits by then.

    serve.batch cuts a batch as soon as it has an item, also while the engine is busy, and so would line up batches of
    one. Held back here, all of a batch enter its queue together, and the next ones only when that batch has begun. An
    item that is alone on an idle engine gets the whole of it.
    """

    def __init__(self, lanes: Sequence[L], batch_tokens: int) -> None:
        self._number = len(lanes)
        self._batch_tokens = batch_tokens
        self._idle: asyncio.Queue[L] = asyncio.Queue()
        for lane in lanes:
            self._idle.put_nowait(lane)
        self._waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self._tokens = 0
        self._forming: set[_Waiter] = set()

    @property
    def busy(self) -> int:
        """How many lanes are taken."""
        return self._number - self._idle.qsize()

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncIterator[bool]:
        """Wait until an item of so many tokens may join a batch; whether that is to have the whole engine.

        The block is to queue the item at once, and to last until it is done.
        """
        waiter = _Waiter(tokens)
        self._waiting[waiter] = None
        self._tokens += tokens
        try:
            self._let_next_go()
            yield await waiter.turn
        finally:
            self._leave(waiter)

    @asynccontextmanager
    async def take(self, *, whole: bool) -> AsyncIterator[L]:
        """A lane for a batch that has formed; the others stay free meanwhile where it is to have the whole engine."""
        self._forming.clear()
        taken = [await self._idle.get() for _ in range(self._number if whole else 1)]
        self._let_next_go()
        try:
            yield taken[0]
        finally:
            for lane in taken:
                self._idle.put_nowait(lane)
            self._let_next_go()

    def _let_next_go(self) -> None:
        if self._forming or not self._waiting or self._idle.empty():
            return
        whole = len(self._waiting) == 1 and not self.busy
        part = self._tokens / self._idle.qsize()
        most = self._batch_tokens * (LARGER if self._tokens > FAR_BEHIND * self._batch_tokens else 1)
        tokens = 0
        while self._waiting and (not tokens or tokens < part):
            waiter = next(iter(self._waiting))
            if self._forming and tokens + waiter.tokens > most:
                break
            self._forget(waiter)
            if not waiter.turn.done():  # else it was cancelled, and will leave in a moment
                self._forming.add(waiter)
                tokens += waiter.tokens
                waiter.turn.set_result(whole)

    def _leave(self, waiter: _Waiter) -> None:
        """It is done, or was cancelled: while it waited, or before its batch had begun, which may never begin then."""
        if waiter in self._waiting:
            self._forget(waiter)
        elif waiter in self._forming:
            self._forming.remove(waiter)
            self._let_next_go()

    def _forget(self, waiter: _Waiter) -> None:
        del self._waiting[waiter]
        self._tokens -= waiter.tokens
