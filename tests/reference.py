"""The reference: transformers' own pipeline, in fp32, one text at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast, pipeline

Predict = Callable[[Sequence[str]], list[dict[str, float]]]


def reference(directory: Path) -> Predict:
    """A function that gives each text's scores by label, as the pipeline has them."""
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32)
    words = PreTrainedTokenizerFast(
        tokenizer_file=str(directory / "tokenizer.json"),
        model_max_length=model.config.max_position_embeddings,
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
    )
    classify = pipeline("text-classification", model=model, tokenizer=words, device="cpu")

    def predict(texts: Sequence[str]) -> list[dict[str, float]]:
        answers = [classify(text, top_k=None, truncation=True) for text in texts]
        return [{pair["label"]: pair["score"] for pair in answer} for answer in answers]

    return predict
