"""A classifier's labels, and the function from logits to scores, as in transformers' pipeline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from model.errors import ModelError

NAMELESS = ("LABEL_0", "LABEL_1")
DEFAULT_LABELS = ("NEGATIVE", "POSITIVE")
SINGLE_LABEL, MULTI_LABEL = "single_label_classification", "multi_label_classification"
MAX_LABELS = 100_000

Scores = tuple[float, ...]
"""A score per label, in the order of the model's outputs, each from 0 to 1."""


def read_labels(config: dict[str, Any], file: Path) -> tuple[str, ...]:
    """The names of the outputs, in their order, by `id2label` of config.json, which is what the pipeline reads.

    Two outputs without names are NEGATIVE and POSITIVE.

    Raises:
        ModelError: the names are not one text for each output, or two are equal.
    """
    labels = _named(config, file)
    if labels == NAMELESS:
        _refuse_other_names(config.get("label2id"), file)
        return DEFAULT_LABELS
    if len(set(labels)) < len(labels):
        raise ModelError(
            f"{file} gives two labels in id2label the same name; rename one, or callers could not distinguish them"
        )
    return labels


def read_problem_type(config: dict[str, Any], labels: Sequence[str], file: Path) -> str:
    """SINGLE_LABEL, whose scores add up to 1 (softmax), or MULTI_LABEL, whose scores are independent (sigmoid).

    The pipeline treats a single output as MULTI_LABEL.

    Raises:
        ModelError: the model is a regression, whose outputs are not scores, or its problem type contradicts it.
    """
    kind = config.get("problem_type")
    if kind == "regression":
        raise ModelError(
            f"{file} says problem_type regression; its outputs are no scores of labels; train it as a classifier"
        )
    if kind not in (None, SINGLE_LABEL, MULTI_LABEL):
        raise ModelError(f"{file} says problem_type {kind!r}; there are {SINGLE_LABEL} and {MULTI_LABEL}")
    if len(labels) == 1:
        if kind == SINGLE_LABEL:
            raise ModelError(
                f"{file} says problem_type {SINGLE_LABEL}, which needs two labels, and has one; leave it out"
            )
        return MULTI_LABEL
    return kind or SINGLE_LABEL


def scoring(problem_type: str) -> Callable[[Sequence[float]], Scores]:
    """The function from a text's logits to its scores."""
    return sigmoid if problem_type == MULTI_LABEL else softmax


def softmax(logits: Sequence[float]) -> Scores:
    """Scores that add up to 1, in double precision.

    Raises:
        ArithmeticError: a logit is not a finite number, so the engine is broken.
    """
    _refuse_nonsense(logits)
    highest = max(logits)
    shares = [math.exp(logit - highest) for logit in logits]
    total = sum(shares)
    return tuple(share / total for share in shares)


def sigmoid(logits: Sequence[float]) -> Scores:
    """A score for each label by itself, in double precision.

    Raises:
        ArithmeticError: as for `softmax`.
    """
    _refuse_nonsense(logits)
    shares = [math.exp(-abs(logit)) for logit in logits]  # at most 1, so it cannot overflow
    return tuple(
        1 / (1 + small) if logit >= 0 else small / (1 + small) for logit, small in zip(logits, shares, strict=True)
    )


def _named(config: dict[str, Any], file: Path) -> tuple[str, ...]:
    named = config.get("id2label")
    number = config.get("num_labels", len(named) if isinstance(named, dict) else 2)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ModelError(f"{file} must say in num_labels how many labels there are, or name them in id2label")
    if number > MAX_LABELS:
        raise ModelError(f"{file} says that there are {number} labels; at most {MAX_LABELS:,} are served")
    if named is None:
        return tuple(f"LABEL_{index}" for index in range(number))
    if not isinstance(named, dict) or len(named) != number or set(named) != {str(index) for index in range(number)}:
        raise ModelError(f"{file} must name each output in id2label, from 0 on, as many as num_labels says")
    labels = tuple(named[str(index)] for index in range(number))
    for label in labels:
        if not isinstance(label, str):
            raise ModelError(f"{file} has a label in id2label that is no text; put it in quotes")
        try:
            label.encode()
        except UnicodeEncodeError:
            raise ModelError(
                f"{file} has a label in id2label that is no valid text (a lone surrogate); rename it"
            ) from None
    return labels


def _refuse_other_names(by_name: Any, file: Path) -> None:
    """Refuse names that are in label2id only: they are not read, and the labels could be wrong without them."""
    ours = {name: index for names in (NAMELESS, DEFAULT_LABELS) for index, name in enumerate(names)}
    if isinstance(by_name, dict) and any(str(ours.get(name.upper())) != str(index) for name, index in by_name.items()):
        raise ModelError(f"{file} names its labels in label2id only; name them in id2label too, which is what is read")


def _refuse_nonsense(logits: Sequence[float]) -> None:
    if not all(math.isfinite(logit) for logit in logits):
        raise ArithmeticError("the model's logits are not finite")
