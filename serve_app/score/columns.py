"""The columns that scoring adds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

_PREFIX = "predicted_"


@dataclass(frozen=True, slots=True)
class Added:
    """The names of the added columns; each is one that the input does not have."""

    label: str
    score: str
    scores: tuple[str, ...]
    """One for each label of the model, in its order."""
    truncated: str
    error: str
    raw: str

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in the order in which they are written."""
        return (self.label, self.score, *self.scores, self.truncated, self.error, self.raw)


def added_columns(labels: Sequence[str], taken: Collection[str]) -> Added:
    """The names for a model with these labels; one that is taken gets `predicted_` before it, as often as needed."""
    names: list[str] = []
    for wanted in ("label", "score", *labels, "truncated", "error", "raw"):
        name = wanted
        while name in taken or name in names:
            name = _PREFIX + name
        names.append(name)
    label, score, *scores, truncated, error, raw = names
    return Added(label, score, tuple(scores), truncated, error, raw)


def listed(names: Sequence[str], most: int = 20, width: int = 40) -> str:
    """Names for a line: the first of them, each cut."""
    shown = [name if len(name) <= width else name[: width - 1] + "…" for name in names[:most]]
    shown = ["".join(letter if letter.isprintable() else "?" for letter in name) for name in shown]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
