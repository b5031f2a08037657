"""Collects each model's answers to one request, and makes the request's outcome of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from serve_app.errors import ServiceError
from serve_app.identity import Identity
from serve_app.prediction import Prediction


@dataclass(slots=True)
class Timings:
    """Milliseconds by stage, for one request."""

    cache: float = 0.0
    queue: float = 0.0
    tokenize: float = 0.0
    model: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one request: a prediction for each text, in order, all of one model, and how they came about."""

    predictions: list[Prediction]
    identity: Identity
    hit: int
    miss: int
    coalesced: int
    timings: Timings


@dataclass(slots=True)
class Answers:
    """One model's answers to the texts of one request, by key."""

    model: Identity
    found: dict[bytes, Prediction]
    shared: Collection[bytes] = ()
    """Keys that were in the shared cache."""
    computed: set[bytes] = field(default_factory=set)
    """Keys that were in no cache."""
    own: int = 0
    """How many of the computed keys were computed for this request, not for an earlier one."""

    def missing(self, wanted: Mapping[bytes, str]) -> dict[bytes, str]:
        """The wanted texts without an answer."""
        return {key: text for key, text in wanted.items() if key not in self.found}

    def add(self, predictions: Mapping[bytes, Prediction], *, own: bool) -> None:
        """Add computed predictions; `own` if they were computed for this request."""
        fresh = predictions.keys() - self.found.keys()
        self.found.update(predictions)
        self.computed |= fresh
        self.own += len(fresh) if own else 0

    def outcome(self, keys: Sequence[bytes], timings: Timings) -> Outcome:
        """The answer to the request. Call it when no text is missing."""
        hit = sum(key not in self.computed for key in keys) if self.computed else len(keys)
        predictions = [self.found[key] for key in keys]
        return Outcome(predictions, self.model, hit, self.own, len(keys) - hit - self.own, timings)


def fullest(known: Sequence[Answers]) -> Answers:
    """The answers of the model that cover the most texts; in a tie, the first."""
    return known[0] if len(known) == 1 else max(known, key=lambda answers: len(answers.found))


@dataclass(frozen=True, slots=True)
class Computed:
    """The result of one model call, by key."""

    predictions: Mapping[bytes, Prediction]
    identity: Identity
    timings: Timings
    late: ServiceError | None
    """Why some of the texts have no prediction; None if all have one."""
    unanswered: Collection[bytes]
    """The keys of the texts without a prediction."""
