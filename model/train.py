"""`python -m model.train`: fine-tune a DistilBERT classifier, or distil a smaller one from it."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tokenizers import Tokenizer

from model.command import run
from model.data import load_split
from model.manifest import sha256, write_manifest
from model.training.convert import load_start
from model.training.loop import Options, answers, encode, train
from model.training.shrink import cut_vocabulary, keep_layers, narrow_feed_forward
from model.weights import WEIGHTS


class Dtype(StrEnum):
    """How the weights are stored."""

    float16 = "float16"
    float32 = "float32"


def main(
    start: Annotated[Path, typer.Option(help="Model directory to start from: DistilBERT, or BERT to be converted.")],
    out: Annotated[Path, typer.Option(help="Folder for the trained model; the best epoch on dev is what it holds.")],
    data: Annotated[str, typer.Option(help="Folder with train.tsv and dev.tsv, or a hub data set.")] = (
        "stanfordnlp/sst2"
    ),
    teacher: Annotated[Path | None, typer.Option(help="Distil from this trained model directory.")] = None,
    layers: Annotated[str, typer.Option(help="Keep only these layers, such as 0,2,5.")] = "",
    hidden_dim: Annotated[int, typer.Option(help="Keep only this many feed-forward neurons a layer; 0 keeps all.")] = 0,
    vocabulary: Annotated[int, typer.Option(help="Keep only this many word pieces; 0 keeps all.")] = 0,
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    learning_rate: Annotated[float, typer.Option(min=0.0)] = 5e-5,
    seed: Annotated[int, typer.Option()] = 1,
    dtype: Annotated[Dtype, typer.Option(help="Store the weights so.")] = Dtype.float32,
) -> None:
    """Train a DistilBERT sentiment classifier, with progress and an evaluation on dev after each epoch."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(seed)
    texts, dev = load_split(data, "train"), load_split(data, "dev")
    model = load_start(start)
    tokenizer = Tokenizer.from_file(str(start / "tokenizer.json"))
    if layers:
        keep_layers(model, [int(number) for number in layers.split(",")])
    if hidden_dim:
        narrow_feed_forward(model, hidden_dim)
    if vocabulary:
        tokenizer = cut_vocabulary(model, tokenizer, texts.texts, vocabulary)
    options = Options(epochs, batch_size, learning_rate, seed)
    began = time.monotonic()

    def save(epoch: int, score: float) -> None:
        record = {
            "accuracy_on_dev": round(score, 4),
            "best_epoch": epoch,
            "train_texts": len(texts.texts),
            "dev_texts": len(dev.texts),
            "layers": layers or "all",
            "hidden_dim": model.config.hidden_dim,
            "vocabulary": model.config.vocab_size,
            "distilled": teacher is not None,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "minutes": round((time.monotonic() - began) / 60, 1),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        _save(model, tokenizer, out, dtype, record)

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        taught = None
        if teacher is not None:
            teacher_ids = encode(Tokenizer.from_file(str(teacher / "tokenizer.json")), texts.texts)
            taught = answers(load_start(teacher), teacher_ids, progress, "teacher's answers")
        train(model, tokenizer, texts, dev, taught, options, progress, save)
    typer.echo(f"{out} holds the best epoch; see {out / 'training.json'}")


def _save(model: Any, tokenizer: Tokenizer, out: Path, dtype: Dtype, record: dict[str, object]) -> None:
    stored = getattr(torch, dtype)
    model.save_pretrained(out, state_dict={name: tensor.to(stored) for name, tensor in model.state_dict().items()})
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(out / "tokenizer.json"))
    settings = {
        "tokenizer_class": "DistilBertTokenizer",
        "do_lower_case": True,
        "model_max_length": model.config.max_position_embeddings,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    revision = sha256(out / WEIGHTS)[:12]
    write_manifest(
        out, out.resolve().name, revision, ["config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"]
    )


if __name__ == "__main__":
    run(main)
