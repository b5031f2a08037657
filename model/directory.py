"""A model directory in Hugging Face's DistilBERT sequence-classification format, read without transformers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from model.architecture import Architecture, read_architecture
from model.errors import ModelError
from model.files import is_file, read_json
from model.labels import read_labels, read_problem_type
from model.manifest import check_manifest, read_manifest, sha256
from model.tokenizer import TOKENIZER_FILES, TextTokenizer
from model.weights import Weights, weight_files

CONFIG = "config.json"
EVALUATION = "evaluation.json"
ADAPTER = "adapter_config.json"
GOLDEN = "golden.json"
"""Name of the file of golden texts in an export's folder."""


@dataclass(frozen=True)
class ModelDirectory:
    """A checked model directory: its name, configuration and contents."""

    path: Path
    name: str
    revision: str | None
    labels: tuple[str, ...]
    problem_type: str
    architecture: Architecture
    max_tokens: int
    """Longer texts are truncated: the minimum of the model's positions and its tokenizer's `model_max_length`."""
    content: str
    accuracy: float | None

    def fingerprint(self, precision: str, max_tokens: int) -> str:
        """16 hexadecimal digits that change whenever an answer could: weights, tokenizer, precision, truncation.

        For a precision that is exported the export's files count too.

        Raises:
            ModelError: golden.json beside them cannot be read.
        """
        parts = [self.content, precision, str(max_tokens), *self._export(precision)]
        return hashlib.sha256(":".join(parts).encode()).hexdigest()[:16]

    def _export(self, precision: str) -> list[str]:
        """The hashes of an export's files, as model.export wrote them and the engine checks them; fp32 has none."""
        file = self.path / precision / GOLDEN
        if not is_file(file):
            return []
        try:
            return [f"{name}={digest}" for name, digest in sorted(read_json(file)["files"].items())]
        except (KeyError, TypeError, AttributeError):
            raise ModelError(
                f"{file} is not what model.export writes; run: python -m model.export {self.path}"
            ) from None

    def check_weights(self) -> None:
        """Read all weights.

        Raises:
            ModelError: one is not a finite number.
        """
        shapes = self.architecture.tensors(len(self.labels))
        weights = Weights(self.path, shapes)
        for name in shapes:
            weights[name]


def open_directory(path: Path) -> ModelDirectory:
    """Read and check the model directory at `path`: everything but the numbers in its weights.

    Raises:
        ModelError: it is missing, is not a DistilBERT classifier in safetensors, has a tokenizer that does not fit,
            needs a feature that is not supported, or differs from its manifest. The message names the file and the fix.
    """
    file = path / CONFIG
    there = is_file(file)
    if is_file(path / ADAPTER):
        raise ModelError(f"{path} has {ADAPTER}: merge the adapter into its model (merge_and_unload), and save that")
    if not there:
        raise ModelError(f"{file} cannot be read; the setting must name a model directory{_hint(path)}")
    config = read_json(file)
    architecture = read_architecture(config, file)
    labels = read_labels(config, file)
    problem_type = read_problem_type(config, labels, file)
    files = weight_files(path)
    manifest = read_manifest(path)
    if manifest is not None:
        check_manifest(path, manifest)
    Weights(path, architecture.tensors(len(labels)))
    tokenizer = TextTokenizer(path, architecture.max_position_embeddings)
    tokenizer.check_ids(architecture.vocab_size)
    content = _content(path, files)
    name, revision = (manifest.name, manifest.revision) if manifest else _name_of(path)
    return ModelDirectory(
        path=path,
        name="".join(letter if letter.isprintable() else "?" for letter in name),  # it becomes a header
        revision=revision,
        labels=labels,
        problem_type=problem_type,
        architecture=architecture,
        max_tokens=tokenizer.max_tokens,
        content=content,
        accuracy=_accuracy(path, content),
    )


def _hint(path: Path) -> str:
    """A hint at a model below `path`, if that is a folder of checkpoints or a repository in the hub's cache."""
    below = sorted([*path.glob("*/config.json"), *path.glob("snapshots/*/config.json")])
    return f", such as {below[-1].parent}" if below else ""


def _name_of(path: Path) -> tuple[str, str | None]:
    """The name and revision of a directory without a manifest.

    A snapshot in the hub's cache, `models--<owner>--<name>/snapshots/<commit>`, has its repository's name.
    """
    whole = path.resolve()
    repository = whole.parent.parent.name
    if whole.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.rpartition("--")[2], whole.name
    return whole.name, None


def _content(path: Path, weights: list[Path]) -> str:
    names = [*(file.name for file in weights), CONFIG, *TOKENIZER_FILES]
    parts = [f"{name}={sha256(path / name)}" for name in names if (path / name).is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _accuracy(path: Path, content: str) -> float | None:
    """The accuracy that `model.evaluate --write` measured, if it was for this content."""
    file = path / EVALUATION
    if not is_file(file):
        return None
    written = read_json(file)
    try:
        return float(written["accuracy"]) if written.get("content") == content else None
    except (ValueError, KeyError, TypeError, OverflowError):
        raise ModelError(f"{file} is not what model.evaluate writes; run it again") from None
