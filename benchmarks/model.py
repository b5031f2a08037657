"""A model of production size: DistilBERT-base with random weights, of the real model's speed and size."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from model.directory import open_directory
from model.export import export, is_exported
from serve_app.settings import MINI_MODEL


def base_model(folder: Path) -> Path:
    """The directory of the random model, which is made and exported if it does not exist."""
    directory = folder / "distilbert-base-random"
    if not (directory / "model.safetensors").is_file():
        torch.manual_seed(0)
        labels = {0: "NEGATIVE", 1: "POSITIVE"}
        # larger weights than a fresh model has, so that scores spread and a mix-up of answers shows
        config = DistilBertConfig(initializer_range=0.05, id2label=labels, label2id={"NEGATIVE": 0, "POSITIVE": 1})
        DistilBertForSequenceClassification(config).save_pretrained(directory)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(MINI_MODEL / name, directory / name)
    opened = open_directory(directory)
    if not is_exported(opened):
        export(opened)
    return directory
