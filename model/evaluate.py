"""`python -m model.evaluate DIR`: accuracy on labelled texts, and how far a precision strays from fp32."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from model.command import run
from model.data import load_split
from model.directory import open_directory
from model.engine import load_engine
from model.errors import ModelError
from model.labels import Scores
from model.tokenizer import TextTokenizer

_CHUNK = 64


def main(
    directory: Annotated[Path, typer.Argument(help="The model directory.")],
    data: Annotated[str, typer.Option(help="Folder with dev.tsv, or a hub data set.")] = "stanfordnlp/sst2",
    precision: Annotated[str, typer.Option(help="The precision to hold against fp32.")] = "fp32",
    threads: Annotated[int, typer.Option(min=1)] = 2,
    write: Annotated[  # noqa: FBT002  (typer makes it --write)
        bool, typer.Option(help="Record the figures in DIR/evaluation.json, which the service reports.")
    ] = False,
) -> None:
    """Print accuracy on dev, labels flipped and score differences against fp32."""
    dev = load_split(data, "dev")
    if not dev.texts:
        raise ModelError(f"{data} has no dev texts")
    with Progress(console=Console(stderr=True)) as progress:
        began = time.perf_counter()
        scores = _score(directory, dev.texts, precision, threads, progress)
        seconds = time.perf_counter() - began
        reference = scores if precision == "fp32" else _score(directory, dev.texts, "fp32", threads, progress)

    right = sum((score[1] > score[0]) == bool(label) for score, label in zip(scores, dev.labels, strict=True))
    flips = sum((a[1] > a[0]) != (b[1] > b[0]) for a, b in zip(scores, reference, strict=True))
    differences = [abs(a[1] - b[1]) for a, b in zip(scores, reference, strict=True)]
    figures = {
        "accuracy": round(right / len(scores), 4),
        "texts": len(scores),
        "precision": precision,
        "flips_against_fp32": flips,
        "largest_score_difference": round(max(differences), 6),
        "mean_score_difference": round(sum(differences) / len(differences), 6),
    }
    table = Table("figure", "value", title=f"{directory} on {len(scores)} texts")
    for name, value in figures.items():
        table.add_row(name, str(value))
    table.add_row("texts_per_second", f"{len(scores) / seconds:.0f}")
    Console().print(table)
    if write:
        (directory / "evaluation.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _score(directory: Path, texts: list[str], precision: str, threads: int, progress: Progress) -> list[Scores]:
    opened = open_directory(directory)
    max_tokens = opened.architecture.max_position_embeddings
    tokenizer = TextTokenizer(directory, max_tokens)
    engine = load_engine(opened, precision, threads=threads)
    scores: list[Scores] = []
    for start in progress.track(range(0, len(texts), _CHUNK), description=f"scoring in {precision}"):
        scores += engine.score([line.ids for line in tokenizer.encode(texts[start : start + _CHUNK])])
    return scores


if __name__ == "__main__":
    run(main)
