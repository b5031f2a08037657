"""The scores that the service must answer, from the model's own engine, run without a service."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.texts import WORDS
from model.directory import open_directory
from model.engine import load_engine
from model.tokenizer import TextTokenizer

MAX_TOKENS = 512
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Golden:
    """A model's fp32 answers: the POSITIVE score by text, under the fingerprint with which it must answer."""

    fingerprint: str
    scores: dict[str, float]

    def agrees(self, texts: Sequence[str], body: Any) -> bool:
        """Whether the body holds this model's answers to the texts, in order, the higher score first."""
        try:
            answers = [
                (pair[0]["score"] >= pair[1]["score"], {entry["label"]: entry["score"] for entry in pair})
                for pair in body["predictions"]
            ]
            return len(answers) == len(texts) and all(
                sorted_ and abs(scores["POSITIVE"] - self.scores[text]) < TOLERANCE and len(scores) == 2
                for text, (sorted_, scores) in zip(texts, answers, strict=True)
            )
        except (KeyError, IndexError, TypeError):
            return False


def golden(model: Path, texts: Sequence[str]) -> Golden:
    """Run the model over the texts, in fp32 on one thread."""
    directory = open_directory(model)
    engine = load_engine(directory, "fp32", threads=1)
    lines = TextTokenizer(model, MAX_TOKENS).encode(texts)
    scores: dict[str, float] = {}
    for start in range(0, len(texts), 32):
        part = slice(start, start + 32)
        found = engine.score([line.ids for line in lines[part]])
        scores |= {text: pair[1] for text, pair in zip(texts[part], found, strict=True)}
    return Golden(directory.fingerprint("fp32", MAX_TOKENS), scores)


def new_texts(number: int, seed: int) -> list[str]:
    """Texts that no other seed has, of ten to twenty words."""
    chance = random.Random(seed)
    return [f"{seed} {index} " + " ".join(chance.choices(WORDS, k=chance.randint(8, 18))) for index in range(number)]
