"""Forward passes of one engine in a process of its own: `python -m benchmarks.engine DIR NAME THREADS` prints JSON.

NAME is a precision of ours, or `transformers`: its model in fp32 on torch, as the reference has it.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

SHAPES = ((1, 8), (1, 16), (8, 16), (32, 16), (1, 128), (8, 128), (1, 512))
SECONDS_A_SHAPE = 1.0
LEAST_RUNS = 3
Run = Callable[[list[list[int]]], object]


def main() -> None:
    """Time each shape, and a batch of mixed lengths; print the medians in ms."""
    directory, name, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    run = _transformers(directory, threads) if name == "transformers" else _ours(directory, name, threads)
    rng = random.Random(1)  # noqa: S311
    figures = {}
    for rows, length in SHAPES:
        figures[f"{rows}x{length}"] = _median_ms(run, [_ids(rng, length) for _ in range(rows)])
    mixed = [_ids(rng, max(3, round(rng.gauss(25, 11)))) for _ in range(32)]
    figures["32 mixed"] = _median_ms(run, mixed)
    sys.stdout.write(json.dumps(figures) + "\n")


def _ids(rng: random.Random, length: int) -> list[int]:
    return [rng.randrange(1000, 10_000) for _ in range(length)]


def _median_ms(run: Run, sequences: list[list[int]]) -> float:
    for _ in range(3):
        run(sequences)
    times: list[float] = []
    end = time.perf_counter() + SECONDS_A_SHAPE
    while time.perf_counter() < end or len(times) < LEAST_RUNS:
        began = time.perf_counter()
        run(sequences)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _ours(directory: Path, precision: str, threads: int) -> Run:
    from model.directory import open_directory  # noqa: PLC0415  (only one of the two engines is loaded)
    from model.engine import load_engine  # noqa: PLC0415

    return load_engine(open_directory(directory), precision, 4096, threads).score


def _transformers(directory: Path, threads: int) -> Run:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

    torch.set_num_threads(threads)
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()

    def run(sequences: list[list[int]]) -> object:
        width = max(map(len, sequences))
        ids = torch.tensor([[*line, *[0] * (width - len(line))] for line in sequences])
        mask = torch.tensor([[1] * len(line) + [0] * (width - len(line)) for line in sequences])
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=mask).logits

    return run


if __name__ == "__main__":
    main()
