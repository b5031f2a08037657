"""Labelled texts for training, from a folder of TSV files or from the hub."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import ModelError


@dataclass(frozen=True)
class Split:
    """Texts with their labels, 0 for NEGATIVE and 1 for POSITIVE, in the same order."""

    texts: list[str]
    labels: list[int]


def load_split(source: str, split: str) -> Split:
    """Load `train` or `dev` from `source`: a folder with `<split>.tsv` files, or a hub data set.

    A TSV file has a header line with the columns `sentence` and `label`. A hub data set has the
    same columns, and its `validation` split is taken for `dev`.

    Raises:
        ModelError: the file is missing, or a line is not what the header promises.
    """
    folder = Path(source)
    if not folder.is_dir():
        return _from_hub(source, "validation" if split == "dev" else split)
    path = folder / f"{split}.tsv"
    if not path.is_file():
        raise ModelError(f"{path} is missing; --data takes a folder with train.tsv and dev.tsv")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or not {"sentence", "label"} <= rows[0].keys():
        raise ModelError(f"{path} needs a header line with the columns sentence and label, and rows under it")
    for number, row in enumerate(rows, start=2):
        if row["label"] not in ("0", "1"):
            raise ModelError(f"{path}, line {number}: the label is not 0 or 1")
    return Split([row["sentence"].strip() for row in rows], [int(row["label"]) for row in rows])


def _from_hub(name: str, split: str) -> Split:
    try:
        from datasets import load_dataset  # noqa: PLC0415  (a folder of files does not need it)
    except ImportError:
        raise ModelError(f"{name} is no folder, and a hub data set needs `pip install datasets`") from None
    try:
        rows = load_dataset(name, split=split)
    except Exception as error:
        raise ModelError(f"data set {name} cannot be loaded from the hub ({type(error).__name__})") from error
    return Split(list(rows["sentence"]), list(rows["label"]))


def length_grouped(lengths: Sequence[int], batch_size: int, rng: random.Random) -> Iterator[list[int]]:
    """Yield shuffled batches of indices whose lengths are alike, so that little is padding.

    Indices are shuffled, cut into pools of 50 batches, and sorted by length inside each pool.
    """
    order = list(range(len(lengths)))
    rng.shuffle(order)
    pool = batch_size * 50
    batches = []
    for start in range(0, len(order), pool):
        ranked = sorted(order[start : start + pool], key=lambda index: lengths[index])
        batches += [ranked[at : at + batch_size] for at in range(0, len(ranked), batch_size)]
    rng.shuffle(batches)
    yield from batches
