"""A model of production size: DistilBERT-base with random weights, of the real model's speed and size."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from benchmarks.whole import made_whole
from model.directory import CONFIG, open_directory
from model.export import export, is_exported
from model.weights import WEIGHTS
from serve_app.settings import MINI_MODEL

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def base_model(folder: Path) -> Path:
    """The directory of the random model, which is made and exported if it does not exist."""
    directory = folder / "distilbert-base-random"
    if not all((directory / name).is_file() for name in (CONFIG, WEIGHTS, *_TOKENIZER)):
        with made_whole(directory) as part:
            _make(part)
    opened = open_directory(directory)
    if not is_exported(opened):
        export(opened)
    return directory


def checked_model(directory: Path) -> Path:
    """A directory that a user named.

    Raises:
        ModelError: it cannot be served, which is known before anything is started or measured.
    """
    return open_directory(directory).path


def _make(directory: Path) -> None:
    torch.manual_seed(0)
    labels = {0: "NEGATIVE", 1: "POSITIVE"}
    # larger weights than a fresh model has, so that scores spread and a mix-up of answers shows
    config = DistilBertConfig(initializer_range=0.05, id2label=labels, label2id={"NEGATIVE": 0, "POSITIVE": 1})
    DistilBertForSequenceClassification(config).save_pretrained(directory)
    for name in _TOKENIZER:
        shutil.copy(MINI_MODEL / name, directory / name)
