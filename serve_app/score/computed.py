"""Scores of several texts, and their form as bytes in the file beside a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.labels import Scores


@dataclass(frozen=True, slots=True)
class Computed:
    """The scores of several texts, and which of the texts were truncated."""

    scores: Sequence[Scores]
    truncated: Sequence[bool]

    def dump(self) -> bytes:
        """Bytes for `load`: one truncation flag (1 byte) for each text, then all scores in double precision."""
        flags = np.array(self.truncated, np.uint8).tobytes()
        return flags + np.array(self.scores, "<f8").tobytes()


def load(data: bytes, texts: int, labels: int) -> Computed | None:
    """Read the bytes of `dump` for this number of texts and labels; None if the length does not fit."""
    if len(data) != texts * (1 + 8 * labels):
        return None
    flags = np.frombuffer(data, np.uint8, texts)
    scores = np.frombuffer(data, "<f8", offset=texts).reshape(texts, labels)
    return Computed([tuple(row) for row in scores.tolist()], [bool(flag) for flag in flags.tolist()])
