"""Names of the columns that scoring adds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

_PREFIX = "predicted_"


@dataclass(frozen=True, slots=True)
class Added:
    """The names of the added columns. No input column has the same name."""

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
    """Names for a model with these labels. A name in `taken` is prefixed with `predicted_` until it is free."""
    names: list[str] = []
    for wanted in ("label", "score", *labels, "truncated", "error", "raw"):
        name = wanted
        while name in taken or name in names:
            name = _PREFIX + name
        names.append(name)
    label, score, *scores, truncated, error, raw = names
    return Added(label, score, tuple(scores), truncated, error, raw)


def listed(names: Sequence[str], max_names: int = 20, max_chars: int = 40, max_words: int = 3) -> str:
    """The first names as one line for a message.

    One that is longer is left out: if a file has no header, it may be somebody's text.
    """
    short = [name if len(name) <= max_chars and len(name.split()) <= max_words else "…" for name in names[:max_names]]
    shown = ["".join(letter if letter.isprintable() else "?" for letter in name) for name in short]
    return ", ".join(name or '""' for name in shown) + (
        f" and {len(names) - max_names} more" if len(names) > max_names else ""
    )
