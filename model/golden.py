"""The golden texts of an export: they check that it belongs to a model, and that an engine agrees with fp32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.directory import GOLDEN, ModelDirectory
from model.errors import ModelError
from model.files import is_file, read_json
from model.labels import Scores
from model.manifest import sha256
from model.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from model.engine import Engine, Stream

EXPORT = "int8"
"""The folder of an export: a graph for int8, and golden texts for any precision but fp32."""
GRAPH = "model.xml"
GRAPH_FORMAT = 3
"""Version of the graph's inputs and of the files beside it; an export of another version is made again."""

GOLDEN_TOLERANCE = 0.05
"""How far a score may be from fp32's on a golden text; a broken engine is off by far more."""


class StaleExport(ModelError):
    """There is no export, or one of other weights or another version, as after training: it must be made."""


@dataclass(frozen=True)
class Golden:
    """Texts with the scores that fp32 gives them, the content that they belong to, and the graph's files."""

    content: str
    files: dict[str, str]
    """The sha256 of each by its name."""
    texts: list[str]
    scores: list[Scores]
    graph_format: int


def check_export(directory: ModelDirectory, precision: str) -> Golden:
    """The golden texts of an export that belongs to this very model.

    Raises:
        StaleExport: there is none, or it was made from other weights or by another version.
        ModelError: its files have changed since it was made.
    """
    folder = directory.path / EXPORT
    file = folder / GOLDEN
    command = f"run: python -m model.export {directory.path}"
    if not is_file(file):
        raise StaleExport(f"{directory.path} is not prepared for {precision}; {command}")
    try:
        content = read_json(file)
        scores = [tuple(float(score) for score in scores) for scores in content["scores"]]
        texts, files = [*map(str, content["texts"])], dict(content.get("files", {}))
        golden = Golden(content["content"], files, texts, scores, content.get("graph_format", 1))
        if np.shape(scores) != (len(golden.texts), len(directory.labels)):
            raise ValueError
    except (ModelError, ValueError, KeyError, TypeError):
        raise ModelError(f"{file} is not what model.export writes; {command}") from None
    if golden.content != directory.content:
        raise StaleExport(f"{folder} was prepared from other weights; {command}")
    if golden.graph_format != GRAPH_FORMAT:
        raise StaleExport(f"{folder} was prepared by another version of this project; {command}")
    if not golden.files.keys() >= {GRAPH, Path(GRAPH).with_suffix(".bin").name}:
        raise ModelError(f"{file} is not what model.export writes; {command}")
    for name, wanted in golden.files.items():
        if not is_file(folder / name) or sha256(folder / name) != wanted:
            raise ModelError(f"{folder / name} is missing or damaged; {command}")
    return golden


def check_golden(engine: Engine, golden: Golden, directory: ModelDirectory) -> None:
    """Compare the engine with fp32's scores on the golden texts.

    Raises:
        ModelError: a score is off by more than GOLDEN_TOLERANCE: this CPU or runtime computes otherwise than the
            one the export was made for, and answers would be wrong.
    """
    scores = score_texts(engine, golden.texts, directory)
    worst = float(np.abs(np.subtract(scores, golden.scores)).max())
    if not worst <= GOLDEN_TOLERANCE:
        raise ModelError(
            f"{engine.precision} is off by {worst:.3f} on a golden text on this CPU; use precision fp32, "
            f"or, where {directory.path / EXPORT / GOLDEN} was changed, export again"
        )


def score_texts(engine: Engine, texts: Sequence[str], directory: ModelDirectory) -> list[Scores]:
    """The engine's scores of texts.

    Raises:
        ModelError: a score is no number.
    """
    lines = TextTokenizer(directory.path, directory.max_tokens).encode(texts)
    return score(engine, [line.ids for line in lines], directory)


def score(stream: Stream, sequences: Sequence[Sequence[int]], directory: ModelDirectory) -> list[Scores]:
    """A stream's scores of sequences of token ids.

    Raises:
        ModelError: a score is no number.
    """
    try:
        return stream.score(sequences)
    except ArithmeticError:
        raise ModelError(f"the outputs of {directory.path} are not finite; train or fetch it again") from None
