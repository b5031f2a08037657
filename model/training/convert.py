"""Read a starting point for training: a DistilBERT directory, or a BERT one turned into DistilBERT."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from model.errors import ModelError

LABELS = {0: "NEGATIVE", 1: "POSITIVE"}

_BERT_TO_DISTILBERT = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}


def load_start(directory: Path) -> DistilBertForSequenceClassification:
    """Load a classifier to train from `directory`, with a fresh head where it has none.

    BERT and DistilBERT differ only in BERT's token-type embedding, which a single sentence uses
    at one value: adding that row to the position embeddings makes the two compute the same.

    Raises:
        ModelError: the directory holds neither a BERT nor a DistilBERT in safetensors.
    """
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        weights = directory / "model.safetensors"
        kind = config["model_type"]
    except (OSError, ValueError, KeyError):
        raise ModelError(f"{directory} is no Hugging Face model directory with a config.json") from None
    if kind == "distilbert":
        return DistilBertForSequenceClassification.from_pretrained(
            directory, num_labels=2, id2label=LABELS, dtype=torch.float32
        )
    if kind != "bert" or not weights.is_file():
        raise ModelError(f"{directory} holds a {kind} model; training starts from bert or distilbert in safetensors")
    model = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=config["vocab_size"],
            max_position_embeddings=config["max_position_embeddings"],
            n_layers=config["num_hidden_layers"],
            n_heads=config["num_attention_heads"],
            dim=config["hidden_size"],
            hidden_dim=config["intermediate_size"],
            id2label=LABELS,
            label2id={name: number for number, name in LABELS.items()},
        )
    )
    missing, unexpected = model.load_state_dict(_renamed(load_file(weights)), strict=False)
    strange = [name for name in missing if not name.startswith(("pre_classifier", "classifier"))] + unexpected
    if strange:
        raise ModelError(f"{directory} has weights that a plain BERT encoder has not, such as {strange[0]}")
    return model


def _renamed(bert: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    bert = {name.removeprefix("bert."): tensor.float() for name, tensor in bert.items()}
    renamed = {}
    for name, tensor in bert.items():
        stem, _, leaf = name.rpartition(".")
        if name.startswith(("pooler.", "cls.")) or name.endswith(("position_ids", "token_type_embeddings.weight")):
            continue
        if stem.startswith("encoder.layer."):
            number, _, part = stem.removeprefix("encoder.layer.").partition(".")
            stem = f"transformer.layer.{number}.{_BERT_TO_DISTILBERT.get(part, part)}"
        renamed[f"distilbert.{stem}.{leaf}"] = tensor
    renamed["distilbert.embeddings.position_embeddings.weight"] += bert["embeddings.token_type_embeddings.weight"][0]
    return renamed
