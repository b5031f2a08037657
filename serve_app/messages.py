"""What ingress and classifier send each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.labels import Scores
from serve_app.identity import Identity

Event = tuple[bytes, float | None]
"""A request's key with the seconds until it is due, or with None when it came."""
News = tuple[str, Sequence[Event], int]
"""Who sends it, what happened to its reservations since it last did, and how many tokens it refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A model replica's answer for n texts, in order, with its own stage times, and what it has to do."""

    identity: Identity
    scores: Sequence[Scores | None]
    """None for a text whose turn did not come in time."""
    truncated: Sequence[bool]
    tokenize_ms: float = 0.0
    queue_ms: float = 0.0
    model_ms: float = 0.0
    replica: str
    busy_s: float = 0.0
    """Above 0 if the replica refused the texts: how long what it has takes, which is too long."""
    wait_s: float
    """How long one text that comes now would wait for its turn."""
    pass_s: float
    """How long one pass takes."""
    tokens_per_s: float
    """What the replica completes, in tokens as `guess_tokens` counts them."""


def guess_tokens(text: str, max_tokens: int | None) -> int:
    """A token for each four bytes, and two around them; to count them would cost a hundred times as much."""
    return min(2 + len(text.encode()) // 4, max_tokens or 512)  # the limit of nearly every DistilBERT
