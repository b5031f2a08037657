"""The scores of several texts as bytes: what a worker returns, and what lies beside a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.labels import Scores


@dataclass(frozen=True, slots=True)
class Computed:
    """Scores of texts, and which were truncated."""

    scores: Sequence[Scores]
    truncated: Sequence[bool]

    def dump(self) -> bytes:
        """As `load` reads it: a byte for each text, then its scores in double precision."""
        flags = np.array(self.truncated, np.uint8).tobytes()
        return flags + np.array(self.scores, "<f8").tobytes()


def load(data: bytes, texts: int, labels: int) -> Computed | None:
    """What `dump` wrote for so many texts of a model with so many labels; None where it is something else."""
    if len(data) != texts * (1 + 8 * labels):
        return None
    flags = np.frombuffer(data, np.uint8, texts)
    scores = np.frombuffer(data, "<f8", offset=texts).reshape(texts, labels)
    return Computed([tuple(row) for row in scores.tolist()], [bool(flag) for flag in flags.tolist()])
