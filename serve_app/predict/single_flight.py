"""Single flight: concurrent requests for the same key share one computation."""

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
"""A single text joins a computation of up to this many keys, a few passes; beside a larger one it is run again."""


@dataclass(eq=False)
class _Flight(Generic[K, R]):
    keys: Collection[K]
    task: asyncio.Task[R]
    callers: int = 0


class SingleFlight(Generic[K, V, R]):
    """Starts a task for keys that are not being computed yet, and joins the tasks of the others.

    No caller owns a task: when one is cancelled, it goes on for the others that wait for any of its keys, and it is
    cancelled only when the last of them has gone.

    A task returns all its results together. So a caller does not join a task of more than MAX_JOINED keys that are more
    than twice as many as it wants itself: it starts a task of its own for its keys.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[K, R]] = {}

    def joins(self, key: K, keys: int) -> bool:
        """Whether a caller that wants so many keys would join the task, if any, that computes this one."""
        flight = self._flights.get(key)
        return flight is not None and len(flight.keys) <= max(MAX_JOINED, 2 * keys)

    async def run(
        self,
        wanted: Mapping[K, V],
        start: Callable[[Mapping[K, V]], asyncio.Task[R]],
        waiting: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> tuple[R | None, list[R]]:
        """Call `start` for keys that are not being computed, and join the tasks of the others.

        Returns the result of the started task, or None without one, and the results of the joined tasks. An error of
        any of them, or of `start`, is raised. The wait happens within `waiting()`, which can end it.
        """
        found = {key: self._flights[key] for key in wanted if self.joins(key, len(wanted))}
        joined = set(found.values())
        fresh = {key: value for key, value in wanted.items() if key not in found}
        own = self._launch(fresh, start(fresh)) if fresh else None
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
                    self._forget(flight)  # at once, so that no caller joins it now
        try:
            results = list(map(asyncio.Task.result, [flight.task for flight in joined]))  # map adds no frame
            return (own.task.result() if own else None), results
        finally:
            # an error's traceback holds this frame, and its variables hold the error: a cycle that only the garbage
            # collector frees. Thousands of them make it stop the process for a quarter of a second at a time
            del own, flight, flights, joined, found

    def _launch(self, fresh: Collection[K], task: asyncio.Task[R]) -> _Flight[K, R]:
        flight = _Flight(list(fresh), task)
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
