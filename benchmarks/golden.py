"""Golden answers: each stack's scores of the course's texts, from its engine alone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.texts import COURSE_POOL
from model.directory import open_directory
from model.engine import load_engine
from model.tokenizer import TextTokenizer

TOLERANCE = 1e-3


def golden_answers(model: Path, precision: str) -> dict[str, float]:
    """The POSITIVE score of each of the course's texts. The reference must give fp32's too."""
    engine = load_engine(open_directory(model), precision, threads=1)
    ids = [line.ids for line in TextTokenizer(model, 512).encode(COURSE_POOL)]
    return {text: scores[1] for text, scores in zip(COURSE_POOL, engine.score(ids), strict=True)}
