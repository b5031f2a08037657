"""One small model directory, and what is to come of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from model.architecture import Architecture

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'éöÖüß好は"
PIECES = (
    *("good", "bad", "Good", "film", "dull", "schon", "schön", "gut", "the", "a", "is", "not", "very", "love", "hate"),
    *("##ing", "##ed", "##s", "##er", "great", "awful", "好好", "user"),
)
VOCABULARY = list(dict.fromkeys([*SPECIAL, *PIECES, *LETTERS, *(f"##{letter}" for letter in LETTERS)]))

DIM, HIDDEN, LAYERS, HEADS, POSITIONS = 32, 48, 2, 4, 40

Tensors = dict[str, torch.Tensor]
Json = dict[str, Any]


@dataclass(frozen=True)
class Specimen:
    """How a directory differs from a plain one; `refused` is a pattern for the line, None where it is served."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    """Changes of config.json; ... takes a key away."""
    labels: int = 2
    sizes: Mapping[str, int] = field(default_factory=dict)
    vocabulary: list[str] = field(default_factory=lambda: VOCABULARY)
    weights: Callable[[Tensors], Tensors] = dict
    settings: Mapping[str, Any] | None = None
    """tokenizer_config.json."""
    fast: Callable[[Json], Json] | None = dict
    """What becomes of tokenizer.json; None where there is vocab.txt alone."""
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    """Files by name, written last."""
    gone: tuple[str, ...] = ()
    after: Callable[[Path], None] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Labels that the service calls otherwise than the pipeline."""
    refused: str | None = None

    def make(self, folder: Path) -> Path:
        """Write the directory."""
        folder.mkdir(parents=True)
        rows = len(self.vocabulary)
        sizes = {"dim": DIM, "hidden_dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "vocab_size": rows}
        architecture = Architecture(**{"max_position_embeddings": POSITIONS, **sizes, **self.sizes})  # type: ignore[arg-type]
        named = {str(number): f"label {number}" for number in range(self.labels)}
        config = {"model_type": "distilbert", "max_position_embeddings": POSITIONS, **sizes, **self.sizes}
        config |= {"architectures": ["DistilBertForSequenceClassification"], "id2label": named, **self.config}
        _write(folder / "config.json", {key: value for key, value in config.items() if value is not ...})
        if self.fast is None:
            (folder / "vocab.txt").write_text("\n".join(self.vocabulary) + "\n", encoding="utf-8")
        else:
            _write(folder / "tokenizer.json", self.fast(tokenizer_json(self.vocabulary)))
        if self.settings is not None:
            _write(folder / "tokenizer_config.json", dict(self.settings))
        save_file(self.weights(random_tensors(architecture, self.labels)), folder / "model.safetensors")
        for name, content in self.files.items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        for name in self.gone:
            (folder / name).unlink()
        if self.after is not None:
            self.after(folder)
        return folder


def random_tensors(architecture: Architecture, labels: int) -> Tensors:
    """Weights whose scores spread widely, always the same."""
    torch.manual_seed(11)
    shapes = architecture.tensors(labels)
    return {name: torch.randn(shape) * 0.4 + ("orm.weight" in name) for name, shape in shapes.items()}


def tokenizer_json(vocabulary: list[str]) -> Json:
    """A lower-casing BERT tokenizer as `tokenizers` saves it."""
    ids = {word: number for number, word in enumerate(vocabulary)}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[token], "content": token, **plain} for token in SPECIAL if token in ids],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                token: {"id": token, "ids": [ids.get(token, 0)], "tokens": [token]} for token in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }


def _write(file: Path, content: Json) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
