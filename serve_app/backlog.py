"""What waits in one model replica, against what that replica can finish in time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.appointments import BUNCH_S

_WEIGHT = 0.1
_FULL_ENOUGH = 4


class Backlog:
    """Tokens that wait or run, and the tokens a second that the engine completes in well-filled batches.

    Full is past twice what one ingress replica lets in: it is their part to refuse before that, and here is what
    holds where there are many of them, or one of them errs.
    """

    def __init__(self, tokens_per_s: float, batch_tokens: int, max_wait_s: float) -> None:
        self.tokens = 0
        self.tokens_per_s = tokens_per_s
        self._batch_tokens = batch_tokens
        self._max_wait_s = max_wait_s

    @property
    def wait_s(self) -> float:
        """How long the engine needs for what it has."""
        return self.tokens / self.tokens_per_s

    @property
    def full(self) -> bool:
        """Whether new requests are refused; never while there is less than one batch."""
        return self.tokens >= self._batch_tokens + 2 * (self._max_wait_s + BUNCH_S) * self.tokens_per_s

    @contextmanager
    def hold(self, tokens: int) -> Iterator[None]:
        """Count the tokens while the block runs."""
        self.tokens += tokens
        try:
            yield
        finally:
            self.tokens -= tokens

    def ran(self, tokens: int, seconds: float) -> None:
        """Learn from a batch; from a small one there is nothing to learn, since its overhead is the most of it."""
        if tokens * _FULL_ENOUGH >= self._batch_tokens and seconds > 0:
            self.tokens_per_s += _WEIGHT * (tokens / seconds - self.tokens_per_s)
