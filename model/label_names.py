"""Maps names in data to a model's labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

_DIGITS = {"0": "negative", "1": "positive"}
_SHOWN_LABELS = 20
_SHOWN_CHARACTERS = 32


class UnknownLabel(Exception):
    """A name is not one of the labels; the message lists both, and `index` is that of the first such name."""

    def __init__(self, index: int, labels: Sequence[str], names: Sequence[str]) -> None:
        self.index = index
        found = list(dict.fromkeys(names))
        # more names than a model can have labels are texts in the wrong column, which must not be quoted
        many = len(found) > max(_SHOWN_LABELS, 2 * len(labels))
        listed = f"{len(found)} different ones" if many else ", ".join(map(_quoted, found))
        super().__init__(
            f"the label is none of the model's, which are {', '.join(map(_quoted, labels))}; the data has {listed}"
        )


def numbered(names: Sequence[str], labels: Sequence[str]) -> list[int]:
    """The index of each name's label; a name is the label in any case, or 0 or 1 for NEGATIVE or POSITIVE.

    Raises:
        UnknownLabel: a name is none of these. Numbers are not used as indices, since models order labels differently.
    """
    folded = Counter(map(_fold, labels))
    known = {_fold(label): number for number, label in enumerate(labels) if folded[_fold(label)] == 1}
    if set(_DIGITS.values()) <= known.keys():
        known = {digit: known[name] for digit, name in _DIGITS.items()} | known
    exact = {label.strip(): number for number, label in enumerate(labels)}
    found = []
    for index, name in enumerate(names):
        number = exact.get(name.strip(), known.get(_fold(name)))
        if number is None:
            raise UnknownLabel(index, labels, names)
        found.append(number)
    return found


def _fold(name: str) -> str:
    return name.strip().casefold()


def _quoted(name: str) -> str:
    if len(name) > _SHOWN_CHARACTERS:
        return f"one of {len(name)} characters"
    return f'"{name}"' if name.isprintable() else repr(name)
