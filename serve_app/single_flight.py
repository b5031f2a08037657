"""Single flight: whatever many callers want at once is worked out once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R")

MAX_JOINED = 16
"""A text alone waits for others' work of a few passes that has it too, and is run beside a longer list."""


@dataclass(eq=False)
class _Flight(Generic[K, R]):
    keys: Collection[K]
    task: asyncio.Task[R]
    callers: int = 0


class SingleFlight(Generic[K, V, R]):
    """Has `start(mapping, deadline)` begin work on the keys that nobody works on yet, and all wait for the others'.

    No caller owns the work: one that is cancelled leaves it to the others that wait for any part of it, and it is
    cancelled only when the last of them has gone. `start` may refuse: its caller gets the error at once.

    Work is answered as a whole. So a caller does not join work on more than MAX_JOINED keys that are more than twice as
    many as it wants itself: it has its own part worked on beside that.
    """

    def __init__(self, start: Callable[[Mapping[K, V], float], asyncio.Task[R]]) -> None:
        self._start = start
        self._flights: dict[K, _Flight[K, R]] = {}

    def __contains__(self, key: K) -> bool:
        """Whether somebody works on the key."""
        return key in self._flights

    async def run(
        self,
        wanted: Mapping[K, V],
        deadline: float,
        waiting: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> tuple[R | None, list[R]]:
        """Results that together cover `wanted`: that of the caller's own work, if it had any, and those it joined.

        The deadline is told to the caller's own work; what it joins has that of its first caller. The wait is spent
        within `waiting()`, which can end it.
        """
        most = max(MAX_JOINED, 2 * len(wanted))
        found = {key: flight for key in wanted if (flight := self._flights.get(key)) and len(flight.keys) <= most}
        joined = set(found.values())
        fresh = {key: value for key, value in wanted.items() if key not in found}
        own = self._launch(fresh, deadline) if fresh else None
        flights = [*joined, *([own] if own else [])]
        for flight in flights:
            flight.callers += 1
        try:
            async with waiting():
                await asyncio.wait([flight.task for flight in flights])
        finally:
            for flight in flights:
                flight.callers -= 1
                if not flight.callers and not flight.task.done():
                    flight.task.cancel()
                    self._forget(flight)  # at once, or somebody could still join it
        try:
            results = list(map(asyncio.Task.result, [flight.task for flight in joined]))  # whose frame is no error's
            return (own.task.result() if own else None), results
        finally:
            # an error's traceback holds this frame, and so would the error itself: a ring that only Python's collector
            # frees, and thousands of them make it stop the whole process for a quarter of a second at a time
            del own, flight, flights, joined, found

    def _launch(self, fresh: Mapping[K, V], deadline: float) -> _Flight[K, R]:
        flight = _Flight(list(fresh), self._start(fresh, deadline))
        self._flights.update(dict.fromkeys(fresh, flight))
        flight.task.add_done_callback(lambda _: self._land(flight))
        return flight

    def _forget(self, flight: _Flight[K, R]) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _land(self, flight: _Flight[K, R]) -> None:
        self._forget(flight)
        if not flight.task.cancelled():
            flight.task.exception()  # seen here, for a failed flight whose callers have all gone
