"""The reference: transformers' own pipeline, in fp32, one text at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

Predict = Callable[[Sequence[str]], list[dict[str, float]]]


def reference(directory: Path) -> Predict:
    """A function that returns each text's scores by label, the highest first, as the pipeline does."""
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32)
    words = AutoTokenizer.from_pretrained(directory)
    max_length = min(words.model_max_length, model.config.max_position_embeddings)
    classify = pipeline("text-classification", model=model, tokenizer=words, device="cpu")

    def predict(texts: Sequence[str]) -> list[dict[str, float]]:
        answers = [classify(text, top_k=None, truncation=True, max_length=max_length) for text in texts]
        return [{entry["label"]: entry["score"] for entry in answer} for answer in answers]

    return predict
