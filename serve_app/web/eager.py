"""Takes an awaitable's result without waiting, if it has one at once."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Begun(Generic[T]):
    """An awaitable that has been started: `result` is set if it ended without waiting; otherwise await this object.

    A request's body mostly arrives with its head, and a time limit would cost more than reading such a body.
    """

    def __init__(self, awaitable: Awaitable[T]) -> None:
        self._steps = awaitable.__await__()
        self.result: T | None = None
        try:
            self._waits_for: Any = next(self._steps)
        except StopIteration as end:
            self.result = end.value

    def __await__(self) -> Generator[Any, Any, T]:
        """Continue it. Await this once, in the task that started it, and only if there is no `result`."""
        try:
            yield self._waits_for
        except BaseException:
            self._steps.close()
            raise
        return (yield from self._steps)
