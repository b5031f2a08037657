"""The messages between ingress and classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.labels import Scores
from serve_app.identity import Identity

Event = tuple[bytes, float | None]
"""A request's key with the seconds until it is due, or with None if it has returned."""
News = tuple[str, Sequence[Event], int]
"""The sender's name, its reservation events since its last message, and the tokens that it refused since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A model replica's answer for n texts, in order, with its stage times and its queue."""

    identity: Identity
    scores: Sequence[Scores | None]
    """None for a text that was not run in time."""
    truncated: Sequence[bool]
    tokenize_ms: float = 0.0
    queue_ms: float = 0.0
    model_ms: float = 0.0
    replica: str
    busy_s: float = 0.0
    """Above 0 if the replica refused the texts that have no scores: the seconds of work ahead of them."""
    wait_s: float
    """How long one more text would wait for its pass."""
    pass_s: float
    """How long one pass takes."""
    tokens_per_s: float
    """Tokens that the replica completes per second, as `guess_tokens` counts them."""
    failed: bool = False
    """Whether the model failed for the texts that have no scores."""

    @property
    def refused(self) -> bool:
        """Whether the replica refused all the texts."""
        return self.busy_s > 0 and not any(self.scores)


def guess_tokens(text: str, max_tokens: int | None) -> int:
    """The text's tokens, estimated as one per four bytes plus two; counting them costs a hundred times as much."""
    return min(2 + len(text.encode()) // 4, max_tokens or 512)  # the limit of nearly every DistilBERT
