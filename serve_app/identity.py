"""The identity of the model that the settings name; classifier and ingress each compute it, with the same result."""

from __future__ import annotations

from dataclasses import dataclass

from model.cpu import choose_precision
from model.directory import ModelDirectory
from model.labels import SINGLE_LABEL

MAX_MODELS = 4
"""If more models than this answer at the same time, only the latest count."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The model that answers: `GET /project/model` shows it, and the cache's keys hold its fingerprint."""

    name: str
    revision: str | None
    fingerprint: str
    precision: str
    labels: tuple[str, ...]
    max_tokens: int
    accuracy: float | None
    problem_type: str = SINGLE_LABEL


def identify(directory: ModelDirectory, precision: str, max_tokens: int | None) -> Identity:
    """The identity of the directory's model as it is served with these settings on this CPU."""
    precision = choose_precision(precision)
    max_tokens = min(max_tokens or directory.max_tokens, directory.max_tokens)
    return Identity(
        directory.name,
        directory.revision,
        directory.fingerprint(precision, max_tokens),
        precision,
        directory.labels,
        max_tokens,
        directory.accuracy,
        directory.problem_type,
    )
