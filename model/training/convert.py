"""Loads a starting point for training: a DistilBERT, or a BERT converted to DistilBERT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import BertModel, DistilBertConfig, DistilBertForSequenceClassification

from model.directory import CONFIG
from model.errors import ModelError
from model.files import read_json, refuse_pointer
from model.labels import DEFAULT_LABELS, read_labels
from model.weights import weight_files

_LABELS = dict(enumerate(DEFAULT_LABELS))
_HEAD = ("pre_classifier.", "classifier.")
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


@dataclass(frozen=True)
class Start:
    """A classifier whose outputs are NEGATIVE and POSITIVE, in this order.

    `labels` are the directory's own names of its outputs. `fresh` says whether they could not be used, so that the
    output layer is random.
    """

    model: DistilBertForSequenceClassification
    labels: tuple[str, ...]
    fresh: bool


def load_start(directory: Path) -> Start:
    """Load a classifier to train from `directory`.

    Its output layer is kept if its two labels are NEGATIVE and POSITIVE in any order and case, or have no names.
    BERT and DistilBERT differ only in BERT's token-type embedding, which a single sentence uses at one value: adding
    that row to the position embeddings makes both compute the same.

    Raises:
        ModelError: the directory holds neither a BERT nor a DistilBERT in safetensors.
    """
    file = directory / CONFIG
    if not file.is_file():
        raise ModelError(f"{directory} is no Hugging Face model directory with a config.json")
    config = read_json(file)
    kind = config.get("model_type")
    if kind not in ("distilbert", "bert"):
        raise ModelError(f"{directory} holds a {kind!r} model; training starts from bert or distilbert")
    for weights in weight_files(directory):
        refuse_pointer(weights)
    labels = read_labels(config, file) if kind == "distilbert" else ()
    try:
        start = _distilbert(directory, labels) if labels else _bert(directory)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001  (transformers, torch and safetensors have no error in common)
        line = str(error).strip().partition("\n")[0][:200]
        raise ModelError(f"{directory} cannot be loaded ({line or type(error).__name__})") from None
    for name, tensor in start.model.state_dict().items():
        if not tensor.isfinite().all():
            raise ModelError(f"{name} in {directory} has values that are not finite numbers; start from another model")
    return start


def load_teacher(directory: Path, dim: int) -> DistilBertForSequenceClassification:
    """Load a trained classifier whose hidden states are `dim` wide.

    Raises:
        ModelError: it was not trained to distinguish NEGATIVE and POSITIVE, or has another width.
    """
    teacher = load_start(directory)
    if teacher.fresh:
        raise ModelError(
            f"{directory} has the labels {', '.join(teacher.labels) or '(none)'}, or weights for none; a teacher is a "
            f"trained DistilBERT that has {' and '.join(DEFAULT_LABELS)}"
        )
    if teacher.model.config.dim != dim:
        raise ModelError(f"{directory} is {teacher.model.config.dim} wide, but what it is to teach is {dim} wide")
    return teacher.model


def _distilbert(directory: Path, labels: tuple[str, ...]) -> Start:
    model, found = DistilBertForSequenceClassification.from_pretrained(
        directory,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    absent = {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}
    _only_the_head(directory, absent)
    kept = None if absent else _negative_and_positive(labels)
    _set_outputs(model, kept)
    return Start(model, labels, fresh=kept is None)


def _bert(directory: Path) -> Start:
    bert, found = BertModel.from_pretrained(
        directory,
        add_pooling_layer=False,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    _only_the_head(directory, found["missing_keys"])
    strange = [
        name for name in found["unexpected_keys"] if name.removeprefix("bert.").startswith(("encoder.", "embed"))
    ]
    if strange:
        raise ModelError(f"{directory} has weights that a plain BERT encoder has not, such as {strange[0]}")
    config = bert.config
    model = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=config.vocab_size,
            max_position_embeddings=config.max_position_embeddings,
            n_layers=config.num_hidden_layers,
            n_heads=config.num_attention_heads,
            dim=config.hidden_size,
            hidden_dim=config.intermediate_size,
            activation=config.hidden_act,
            pad_token_id=config.pad_token_id,
        )
    )
    model.distilbert.load_state_dict(_renamed(bert.state_dict()))
    _set_outputs(model, None)
    return Start(model, (), fresh=True)


def _only_the_head(directory: Path, absent: set[str]) -> None:
    lost = sorted(name for name in absent if not name.startswith(_HEAD))
    if lost:
        raise ModelError(
            f"{directory} lacks weights that its config.json promises, or has them in another size: {lost[0]}"
        )


def _negative_and_positive(labels: Sequence[str]) -> list[int] | None:
    """The indices of NEGATIVE and POSITIVE, or None if there are other labels."""
    names = [label.strip().casefold() for label in labels]
    wanted = [label.casefold() for label in DEFAULT_LABELS]
    return [names.index(name) for name in wanted] if sorted(names) == sorted(wanted) else None


def _set_outputs(model: DistilBertForSequenceClassification, kept: Sequence[int] | None) -> None:
    """Give the model two outputs, NEGATIVE and POSITIVE: the `kept` ones of its outputs, or random ones."""
    config, old = model.config, model.classifier
    model.classifier = torch.nn.Linear(config.dim, len(DEFAULT_LABELS))
    with torch.no_grad():
        if kept is None:
            model.classifier.weight.normal_(0.0, config.initializer_range)
            model.classifier.bias.zero_()
        else:
            model.classifier.weight.copy_(old.weight[kept])
            model.classifier.bias.copy_(old.bias[kept])
    model.num_labels = len(DEFAULT_LABELS)
    config.id2label, config.label2id = _LABELS, {name: number for number, name in _LABELS.items()}
    config.problem_type = None


def _renamed(bert: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, tensor in bert.items():
        stem, _, leaf = name.rpartition(".")
        if name.endswith(("position_ids", "token_type_ids", "token_type_embeddings.weight")):
            continue
        if stem.startswith("encoder.layer."):
            number, _, part = stem.removeprefix("encoder.layer.").partition(".")
            stem = f"transformer.layer.{number}.{_BERT_TO_DISTILBERT.get(part, part)}"
        renamed[f"{stem}.{leaf}"] = tensor.clone()
    renamed["embeddings.position_embeddings.weight"] += bert["embeddings.token_type_embeddings.weight"][0]
    return renamed
