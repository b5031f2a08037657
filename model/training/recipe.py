"""Trains from one model directory into another: load, shrink, run the teacher, train, save the best epoch."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import SafetensorError

from model.data import Split
from model.directory import open_directory
from model.errors import ModelError
from model.install import install, staging
from model.manifest import sha256, write_manifest
from model.training.convert import load_start, load_teacher
from model.training.loop import Examples, Options, answers, train
from model.training.shrink import cut_vocabulary, keep_layers, narrow_feed_forward
from model.training.tokenizer import encode, load_tokenizer, save_tokenizer, with_vocabulary
from model.weights import WEIGHTS


@dataclass(frozen=True)
class Shrink:
    """The parts of the start to keep: layers, numbers of feed-forward neurons and of word pieces; empty or 0: all."""

    layers: Sequence[int]
    hidden_dim: int
    vocabulary: int


def train_from(
    start: Path,
    out: Path,
    train_texts: Split,
    dev: Split,
    teacher: Path | None,
    shrink: Shrink,
    options: Options,
    dtype: str,
) -> str:
    """Train on `train_texts`, save the epoch that is best on `dev` in `out`, and return a line on it.

    Raises:
        ModelError: start, teacher or out cannot be used, or no epoch gave finite answers, so nothing was saved.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(options.seed)
    model, tokenizer = _load(start, shrink, train_texts.texts)
    limit = model.config.max_position_embeddings
    learned, judged = (Examples(encode(tokenizer, part.texts, limit), part.labels) for part in (train_texts, dev))
    teaching = None if teacher is None else _load_teacher(teacher, model.config.dim, train_texts.texts)
    _rehearse(model, tokenizer, start, out, dtype)
    began = time.monotonic()
    best: tuple[int, float] | None = None

    def save(epoch: int, score: float) -> None:
        nonlocal best
        record = {
            "accuracy_on_dev": round(score, 4),
            "best_epoch": epoch,
            "train_texts": len(train_texts.texts),
            "dev_texts": len(dev.texts),
            "layers": ",".join(map(str, shrink.layers)) or "all",
            "hidden_dim": model.config.hidden_dim,
            "vocabulary": model.config.vocab_size,
            "distilled": teacher is not None,
            "epochs": options.epochs,
            "batch_size": options.batch_size,
            "learning_rate": options.learning_rate,
            "seed": options.seed,
            "minutes": round((time.monotonic() - began) / 60, 1),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        try:
            _save(model, tokenizer, out, dtype, record)
        except ModelError as error:
            raise ModelError(f"{error}; it still holds epoch {best[0]}" if best else str(error)) from None
        best = epoch, score

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        taught = None if teaching is None else answers(*teaching, progress, "teacher's answers")
        whole = train(model, learned, judged, taught, options, progress, save)
    if best is None:
        raise ModelError(f"no epoch gave finite answers, so {out} was not written; try a smaller --learning-rate")
    early = "" if whole else ", after which training failed"
    return f"{out} holds epoch {best[0]}{early}: {best[1]:.4f} on dev; see {out / 'training.json'}"


def _load(start: Path, shrink: Shrink, texts: Sequence[str]) -> tuple[Any, Any]:
    loaded = load_start(start)
    model = loaded.model
    tokenizer = load_tokenizer(start, model.config.vocab_size)
    if loaded.fresh:
        labels = f" (its labels: {', '.join(loaded.labels)})" if loaded.labels else ""
        typer.echo(f"{start} does not tell NEGATIVE from POSITIVE yet{labels}; it gets a new output layer", err=True)
    if shrink.layers:
        keep_layers(model, shrink.layers)
    if shrink.hidden_dim:
        narrow_feed_forward(model, shrink.hidden_dim)
    if shrink.vocabulary:
        cut = cut_vocabulary(model, tokenizer.backend_tokenizer, texts, shrink.vocabulary)
        tokenizer = with_vocabulary(tokenizer, cut)
    return model, tokenizer


def _load_teacher(teacher: Path, dim: int, texts: Sequence[str]) -> tuple[Any, list[list[int]]]:
    """The teacher, and the token ids of `texts` by its tokenizer."""
    model = load_teacher(teacher, dim)
    tokenizer = load_tokenizer(teacher, model.config.vocab_size)
    return model, encode(tokenizer, texts, model.config.max_position_embeddings)


def _save(model: Any, tokenizer: Any, out: Path, dtype: str, record: dict[str, object]) -> None:
    weights = _stored(model, dtype, out)
    with staging(out, ".train-") as staged:
        _write(model, weights, tokenizer, staged, out)
        names = [file.name for file in staged.iterdir()]
        (staged / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        write_manifest(staged, out.resolve().name, sha256(staged / WEIGHTS)[:12], names)
        install(staged, out)


def _rehearse(model: Any, tokenizer: Any, start: Path, out: Path, dtype: str) -> None:
    """Check before the training that its result fits on the disk and can be served."""
    with staging(out, ".train-") as staged:
        _write(model, _stored(model, dtype, out), tokenizer, staged, out)
        try:
            open_directory(staged)
        except ModelError as error:
            reason = str(error).replace(str(staged), str(start))
            raise ModelError(f"what is trained from this start could not be served: {reason}") from None


def _stored(model: Any, dtype: str, out: Path) -> dict[str, torch.Tensor]:
    weights = {name: tensor.to(getattr(torch, dtype)) for name, tensor in model.state_dict().items()}
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise ModelError(f"there are weights that {dtype} cannot hold, so {out} was not written; try --dtype float32")
    return weights


def _write(model: Any, weights: dict[str, torch.Tensor], tokenizer: Any, staged: Path, out: Path) -> None:
    try:
        model.save_pretrained(staged, state_dict=weights)
    except SafetensorError as error:
        raise ModelError(f"{out} cannot be written ({error})") from None
    save_tokenizer(tokenizer, staged, model.config.max_position_embeddings)
