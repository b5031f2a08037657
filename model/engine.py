"""Run token sequences through a model: the fp32 reference engine, on torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from model.batches import length_groups
from model.directory import WEIGHTS, ModelDirectory
from model.distilbert import DistilBert
from model.errors import ModelError

Scores = tuple[float, float]
"""Probabilities of label 0 and label 1; they add up to 1."""


class Engine(Protocol):
    """Scores for token sequences. One call at a time; different sequences of one call may be batched at will."""

    precision: str

    def score(self, sequences: Sequence[Sequence[int]]) -> list[Scores]:
        """Scores of each sequence of token ids, in order."""
        ...


class TorchEngine:
    """fp32 on torch, within 1e-5 of transformers' own pipeline."""

    precision = "fp32"

    def __init__(self, directory: ModelDirectory, max_batch_tokens: int, threads: int) -> None:
        torch.set_num_threads(threads)
        try:
            weights = load_file(directory.path / WEIGHTS)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{directory.path / WEIGHTS} cannot be read ({error})") from None
        self._model = DistilBert(weights, directory.architecture)
        self._max_batch_tokens = max_batch_tokens

    def score(self, sequences: Sequence[Sequence[int]]) -> list[Scores]:
        """Scores of each sequence of token ids, in order; alike lengths are run together."""
        scores: list[Scores] = [(0.0, 0.0)] * len(sequences)
        for group in length_groups([len(sequence) for sequence in sequences], self._max_batch_tokens):
            for index, (negative, positive) in zip(group, self._logits([sequences[i] for i in group]), strict=True):
                scores[index] = softmax(negative, positive)
        return scores

    def _logits(self, group: Sequence[Sequence[int]]) -> list[list[float]]:
        width = max(map(len, group))
        ids = torch.tensor([[*sequence, *[0] * (width - len(sequence))] for sequence in group])
        mask = None
        if any(len(sequence) < width for sequence in group):
            lengths = torch.tensor([len(sequence) for sequence in group])
            mask = torch.arange(width) < lengths[:, None]
        with torch.inference_mode():
            return [[float(value) for value in row] for row in self._model.logits(ids, mask).tolist()]


def softmax(first: float, second: float) -> Scores:
    """Softmax of two logits in double precision.

    Raises:
        ArithmeticError: a logit is not a number, so the engine is broken and no score may leave it.
    """
    difference = second - first
    if not math.isfinite(difference):
        raise ArithmeticError("the model's logits are not finite")
    small = math.exp(-abs(difference))
    high, low = 1 / (1 + small), small / (1 + small)
    return (low, high) if difference > 0 else (high, low)


def load_engine(directory: ModelDirectory, precision: str, max_batch_tokens: int, threads: int) -> Engine:
    """The engine for `precision`, with its weights loaded and ready."""
    if precision != TorchEngine.precision:
        raise ModelError(f"precision {precision!r} is not known; the only one is {TorchEngine.precision}")
    return TorchEngine(directory, max_batch_tokens, threads)
