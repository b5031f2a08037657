"""A model directory in Hugging Face's DistilBERT sequence-classification format, read without transformers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import ModelError
from model.manifest import check_manifest, read_manifest, sha256

WEIGHTS = "model.safetensors"
DEFAULT_LABELS = ("NEGATIVE", "POSITIVE")


@dataclass(frozen=True)
class Architecture:
    """The sizes of a DistilBERT, under the names of its config.json."""

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    max_position_embeddings: int
    vocab_size: int
    activation: str = "gelu"


@dataclass(frozen=True)
class ModelDirectory:
    """A checked model directory: what it is called, what it says, and what exactly it holds."""

    path: Path
    name: str
    revision: str | None
    labels: tuple[str, str]
    architecture: Architecture
    content: str
    accuracy: float | None

    def fingerprint(self, precision: str, max_tokens: int) -> str:
        """16 hexadecimal digits that change whenever an answer could: weights, tokenizer, precision, truncation."""
        return hashlib.sha256(f"{self.content}:{precision}:{max_tokens}".encode()).hexdigest()[:16]


def open_directory(path: Path) -> ModelDirectory:
    """Read and check the model directory at `path`.

    Raises:
        ModelError: it is missing, is no two-label DistilBERT classifier in safetensors, or differs from its manifest.
    """
    config = _config(path)
    if not (path / WEIGHTS).is_file():
        raise ModelError(f"{path} has no {WEIGHTS}; weights are loaded from safetensors only")
    manifest = read_manifest(path)
    if manifest is not None:
        check_manifest(path, manifest)
    try:
        architecture = Architecture(**{key: config[key] for key in Architecture.__annotations__ if key in config})
    except TypeError as error:
        raise ModelError(f"{path / 'config.json'} does not describe a DistilBERT: {error}") from None
    return ModelDirectory(
        path=path,
        name=manifest.name if manifest else path.resolve().name,
        revision=manifest.revision if manifest else None,
        labels=_labels(path, config),
        architecture=architecture,
        content=_content(path),
        accuracy=_accuracy(path),
    )


def _config(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(f"{file} cannot be read; the setting must name a model directory") from None
    except ValueError:
        raise ModelError(f"{file} is not JSON") from None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "distilbert":
        raise ModelError(f"{file} says model_type {kind!r}; only distilbert can be served")
    return dict(config)


def _labels(path: Path, config: dict[str, Any]) -> tuple[str, str]:
    named = config.get("id2label")
    if named is None and config.get("num_labels", 2) == len(DEFAULT_LABELS):
        return DEFAULT_LABELS
    if not isinstance(named, dict) or sorted(named) != ["0", "1"]:
        raise ModelError(f"{path / 'config.json'} must name exactly two labels, 0 and 1, in id2label")
    labels = (str(named["0"]), str(named["1"]))
    return DEFAULT_LABELS if labels == ("LABEL_0", "LABEL_1") else labels


def _content(path: Path) -> str:
    names = [WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    parts = [f"{name}={sha256(path / name)}" for name in names if (path / name).is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _accuracy(path: Path) -> float | None:
    file = path / "evaluation.json"
    if not file.is_file():
        return None
    try:
        return float(json.loads(file.read_text(encoding="utf-8"))["accuracy"])
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{file} is not what model.evaluate writes; run it again") from None
