"""The command's baselines: the engine alone, and transformers' pipeline, on the same texts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from transformers import pipeline

from model.directory import open_directory
from serve_app.identity import identify
from serve_app.score.worker import Worker
from serve_app.settings import Settings

BATCHES = (1, 8, 32, 128)
TUNING_TEXTS = 64
GROUP = 256
"""Texts that the engine gets at once, as it gets parts."""


def engine(model: Path, texts: Sequence[str], threads: int) -> float:
    """Rows a second of the service's engine and tokenizer in this process, each thread with texts of its own."""
    settings = Settings(model_dir=model)
    worker = Worker(settings, identify(open_directory(model), settings.precision, settings.max_tokens), threads)
    if fault := worker.load():
        raise RuntimeError(fault)
    groups = [texts[start : start + GROUP] for start in range(0, len(texts), GROUP)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(worker.score, groups[:threads]))
        began = time.perf_counter()
        list(pool.map(worker.score, groups))
    return len(texts) / (time.perf_counter() - began)


def transformers(model: Path, texts: Sequence[str], threads: int) -> tuple[float, int]:
    """Rows a second of transformers' pipeline on texts sorted by length, and the batch size that was the fastest."""
    torch.set_num_threads(threads)
    classify = pipeline("text-classification", model=str(model), top_k=None, truncation=True, device="cpu")
    in_order = sorted(texts, key=len)

    def rate(some: Sequence[str], batch: int) -> float:
        began = time.perf_counter()
        classify(list(some), batch_size=batch)
        return len(some) / (time.perf_counter() - began)

    tuning = in_order[:: max(1, len(in_order) // TUNING_TEXTS)]
    classify(tuning[:8])
    best = max(BATCHES, key=lambda batch: rate(tuning, batch))
    return rate(in_order, best), best
