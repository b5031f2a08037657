"""Take an awaitable's result without waiting, where it has one at once."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Begun(Generic[T]):
    """An awaitable that has been begun: `result` has what it came to if it had to wait for nothing, else await this.

    A request's body has mostly come with its head, and a time limit around what does not wait costs more than it.
    """

    def __init__(self, awaitable: Awaitable[T]) -> None:
        self._steps = awaitable.__await__()
        self.result: T | None = None
        try:
            self._waits_for: Any = next(self._steps)
        except StopIteration as end:
            self.result = end.value

    def __await__(self) -> Generator[Any, Any, T]:
        """Go on where it waits; to be awaited once, by the task that began it, and only without a result."""
        try:
            yield self._waits_for
        except BaseException:
            self._steps.close()
            raise
        return (yield from self._steps)
