"""`python -m model.evaluate DIR`: accuracy on labelled texts, and how far a precision differs from fp32."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from model.command import run
from model.cpu import choose_precision
from model.data import load_split, weakness
from model.directory import EVALUATION, ModelDirectory, open_directory
from model.engine import load_engine
from model.errors import ModelError
from model.golden import score
from model.install import write_text
from model.labels import Scores
from model.tokenizer import TextTokenizer

_CHUNK = 64
_THREADS = 2


class Precision(StrEnum):
    """What SENTIMENT_PRECISION takes."""

    auto = "auto"
    int8 = "int8"
    bf16 = "bf16"
    fp32 = "fp32"


def main(
    directory: Annotated[Path, typer.Argument(help="The model directory.")],
    data: Annotated[
        str, typer.Option(help="Folder with dev.tsv (UTF-8; sentence, tab, label), or a hub data set.")
    ] = "stanfordnlp/sst2",
    precision: Annotated[
        Precision, typer.Option(help="The precision to compare with fp32; auto is the service's on this CPU.")
    ] = Precision.fp32,
    threads: Annotated[int, typer.Option(min=1)] = _THREADS,
    write: Annotated[  # noqa: FBT002  (typer makes it --write)
        bool, typer.Option(help="Record the figures in DIR/evaluation.json, which the service reports.")
    ] = False,
) -> None:
    """Print accuracy on dev, labels flipped and score differences against fp32.

    An answer is right if the model's highest label has the name that the data gives the text, in any case; 0 and 1
    stand for NEGATIVE and POSITIVE.
    """
    # each thread is a stream with a copy of the matrices, so thousands of them would take minutes and gigabytes
    if threads > (limit := max(_THREADS, os.cpu_count() or 1)):
        raise typer.BadParameter(
            f"{threads} is more than the CPUs of this machine; at most {limit}", param_hint="--threads"
        )
    chosen = choose_precision(str(precision))
    opened = open_directory(directory)
    if len(opened.labels) == 1:
        raise ModelError(f"{directory} has one label, so there is no label to be right or wrong about")
    dev = load_split(data, "dev", opened.labels)
    if write and (fault := weakness(dev)):
        typer.echo(f"warning: dev of {data} has {fault}, so the figures that are recorded say little", err=True)
    began = time.perf_counter()
    scores = _score(opened, dev.texts, chosen, threads)
    seconds = time.perf_counter() - began
    reference = scores if chosen == "fp32" else _score(opened, dev.texts, "fp32", threads)

    figures = {"texts": len(scores), "precision": chosen, **compare(scores, reference, dev.labels)}
    table = Table("figure", "value", title=escape(f"{directory} on {len(scores)} texts"))
    for name, value in figures.items():
        table.add_row(name, str(value))
    table.add_row("texts_per_second", f"{len(scores) / seconds:.0f}")
    Console().print(table)
    if write:
        record = {**figures, "content": opened.content}
        write_text(directory / EVALUATION, json.dumps(record, indent=2) + "\n")


def compare(scores: Sequence[Scores], reference: Sequence[Scores], labels: Sequence[int]) -> dict[str, float]:
    """Figures of `scores` against the labels' numbers, and against fp32's scores.

    The answer of a model is its highest label, also if it is one that gives each label a score of its own.
    A text's difference is the largest over its labels.
    """
    answers = [_highest(each) for each in scores]
    right = sum(answer == label for answer, label in zip(answers, labels, strict=True))
    flips = sum(answer != _highest(each) for answer, each in zip(answers, reference, strict=True))
    differences = [
        max(abs(a - b) for a, b in zip(got, wanted, strict=True)) for got, wanted in zip(scores, reference, strict=True)
    ]
    return {
        "accuracy": round(right / len(scores), 4),
        "flips_against_fp32": flips,
        "largest_score_difference": round(max(differences), 6),
        "mean_score_difference": round(sum(differences) / len(differences), 6),
    }


def _highest(scores: Scores) -> int:
    return max(range(len(scores)), key=scores.__getitem__)


def _score(opened: ModelDirectory, texts: list[str], precision: str, threads: int) -> list[Scores]:
    tokenizer = TextTokenizer(opened.path, opened.max_tokens)
    engine = load_engine(opened, precision, threads=threads)
    scores: list[Scores] = []
    with Progress(console=Console(stderr=True)) as progress:
        for start in progress.track(range(0, len(texts), _CHUNK), description=f"scoring in {precision}"):
            lines = tokenizer.encode(texts[start : start + _CHUNK])
            scores += score(engine, [line.ids for line in lines], opened)
    return scores


if __name__ == "__main__":
    run(main)
