"""The files of a part: its rows in the output's format, and its scores."""

from __future__ import annotations

import re
from dataclasses import dataclass

from serve_app.score.computed import Computed, load
from serve_app.score.memory import Plan
from serve_app.score.rows import Part
from serve_app.score.store import Store

_PART = re.compile(r"(\d{8,})-(\d+)-(\d+)-(\d+)-(\d+)\.part")


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished part, as in its file's name: number, first row, and counts of rows, errors and truncations."""

    number: int
    first: int
    rows: int
    errors: int
    truncated: int

    @property
    def name(self) -> str:
        """The name of the file."""
        return f"{self.number:08d}-{self.first}-{self.rows}-{self.errors}-{self.truncated}.part"


class Parts:
    """The parts in a store. A part is finished once its own file exists, which is written after its scores' file."""

    def __init__(self, store: Store, labels: int) -> None:
        self._store = store
        self._labels = labels
        names = set(store.names())
        found = [_PART.fullmatch(name) for name in names]
        kept = [Kept(*map(int, each.groups())) for each in found if each]
        self._kept = {each.number: each for each in kept if _scores(each.number) in names}

    def finished(self, part: Part, plan: Plan) -> tuple[Kept, Computed] | None:
        """The stored part and the scores of its new texts; None if it is missing, damaged or has other rows."""
        kept = self._kept.get(part.number)
        if kept is None or (kept.first, kept.rows) != (part.first, len(part.rows)):
            return None
        computed = load(self._store.read(_scores(part.number)), len(plan.new), self._labels)
        return None if computed is None else (kept, computed)

    def keep(self, kept: Kept, data: bytes, computed: Computed) -> None:
        """Write the files of a part, which is then finished."""
        self._store.put(_scores(kept.number), computed.dump())
        self._store.put(kept.name, data)
        self._kept[kept.number] = kept

    def data(self, number: int) -> bytes:
        """The bytes of a finished part."""
        return self._store.read(self._kept[number].name)


def _scores(number: int) -> str:
    return f"{number:08d}.scores"
