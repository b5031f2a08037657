"""`python -m model.train`: fine-tune a DistilBERT classifier, or distil a smaller one from it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from model.architecture import MAX_LAYERS
from model.command import run
from model.data import load_split, weakness
from model.errors import ModelError


class Dtype(StrEnum):
    """The type of the stored weights."""

    float16 = "float16"
    float32 = "float32"


def main(
    start: Annotated[Path, typer.Option(help="Model directory to start from: DistilBERT, or BERT to be converted.")],
    out: Annotated[Path, typer.Option(help="Folder for the trained model: the epoch that is best on dev.")],
    data: Annotated[
        str, typer.Option(help="Folder with train.tsv and dev.tsv (UTF-8; sentence, tab, label), or a hub data set.")
    ] = ("stanfordnlp/sst2"),
    teacher: Annotated[Path | None, typer.Option(help="Distil from this trained model directory.")] = None,
    layers: Annotated[str, typer.Option(help="Keep only these layers, such as 0,2,5.")] = "",
    hidden_dim: Annotated[
        int, typer.Option(min=0, help="Keep only this many feed-forward neurons a layer; 0 keeps all.")
    ] = 0,
    vocabulary: Annotated[int, typer.Option(min=0, help="Keep only this many word pieces; 0 keeps all.")] = 0,
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    learning_rate: Annotated[float, typer.Option(min=0.0, max=1.0)] = 5e-5,
    seed: Annotated[int, typer.Option(min=0, max=2**32)] = 1,
    dtype: Annotated[Dtype, typer.Option(help="Type of the stored weights.")] = Dtype.float32,
) -> None:
    """Train a DistilBERT sentiment classifier, with progress and an evaluation on dev after each epoch."""
    shrink = (_layers(layers), hidden_dim, vocabulary)
    for name, other in (("--start", start), ("--teacher", teacher)):
        if other is not None and other.resolve() == out.resolve():
            raise ModelError(f"--out is the folder of {name}, which the first epoch would overwrite; name another")
    texts, dev = load_split(data, "train"), load_split(data, "dev")
    for name, split, effect in (("train", texts, "little can be learned"), ("dev", dev, "accuracy says little")):
        if fault := weakness(split):
            typer.echo(f"warning: {name} of {data} has {fault}, so {effect}", err=True)
    try:
        # imported here, since it takes seconds: faults above are reported at once, and the service has no torch
        from model.training.loop import Options  # noqa: PLC0415
        from model.training.recipe import Shrink, train_from  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(
            f"training needs the package {error.name}, which the service does not; run: make .venv/.dev"
        ) from None
    options = Options(epochs, batch_size, learning_rate, seed)
    typer.echo(train_from(start, out, texts, dev, teacher, Shrink(*shrink), options, dtype))


def _layers(given: str) -> list[int]:
    try:
        numbers = [int(number) for number in given.split(",")] if given.strip() else []
    except ValueError:
        raise typer.BadParameter(
            "must be numbers with commas between them, such as 0,2,5", param_hint="--layers"
        ) from None
    if not all(0 <= number < MAX_LAYERS for number in numbers):
        raise typer.BadParameter(f"must be numbers from 0 to {MAX_LAYERS - 1}", param_hint="--layers")
    return numbers


if __name__ == "__main__":
    run(main)
