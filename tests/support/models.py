"""Small random models in Hugging Face's format, made in a moment, for tests of everything but accuracy."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertForSequenceClassification

from serve_app.settings import MINI_MODEL

LABELS = {0: "NEGATIVE", 1: "POSITIVE"}


def tokenizer() -> Tokenizer:
    """The embedded model's tokenizer, which suits any small model."""
    return Tokenizer.from_file(str(MINI_MODEL / "tokenizer.json"))


def save_distilbert(folder: Path, activation: str = "gelu", labels: dict[int, str] | None = None) -> Path:
    """A random DistilBERT whose scores spread widely."""
    torch.manual_seed(7)
    words = tokenizer()
    config = DistilBertConfig(
        vocab_size=words.get_vocab_size(),
        dim=48,
        hidden_dim=96,
        n_layers=3,
        n_heads=4,
        activation=activation,
        initializer_range=0.3,
        id2label=labels or LABELS,
    )
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    words.save(str(folder / "tokenizer.json"))
    return folder


def save_bert(folder: Path) -> Path:
    """A random BERT encoder, from which training can start."""
    torch.manual_seed(7)
    words = tokenizer()
    config = BertConfig(
        vocab_size=words.get_vocab_size(),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        initializer_range=0.05,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    words.save(str(folder / "tokenizer.json"))
    return folder
