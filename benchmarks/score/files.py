"""Files of generated texts."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from benchmarks.texts import WORD_QUANTILES, WORDS

Lengths = Literal["sst2", "mixed", "short"]

SHORTEST, LONGEST = 3, 400
"""Words of the mixed lengths: about 5 to 512 tokens, each size as often as its double."""


def texts(lengths: Lengths, rows: int) -> Iterator[str]:
    """So many texts, almost all of them different; the same each time."""
    rng = random.Random(7)  # noqa: S311
    for _ in range(rows):
        yield " ".join(rng.choices(WORDS, k=_words(lengths, rng)))


def write(file: Path, lengths: Lengths, rows: int) -> Path:
    """A CSV of these texts."""
    with file.open("w", newline="", encoding="utf-8") as output:
        writer = csv.writer(output)
        writer.writerow(["id", "text"])
        writer.writerows(enumerate(texts(lengths, rows)))
    return file


def _words(lengths: Lengths, rng: random.Random) -> int:
    match lengths:
        case "sst2":
            return rng.choice(WORD_QUANTILES)
        case "short":
            return rng.choice((3, 4, 5, 6))
        case "mixed":
            return round(math.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST))))
