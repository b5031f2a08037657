"""One engine in a process of its own: `python -m benchmarks.engine DIR NAME THREADS [SEQUENCES]` prints JSON.

NAME is one of benchmarks.engines. Without SEQUENCES it prints the median ms of a forward pass by shape; with it, a
JSON file of lists of token ids, the score of each, alone and in a batch.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import NoReturn

from benchmarks.engines import ENGINES, Run, load
from model.errors import ModelError

SHAPES = ((1, 8), (1, 16), (8, 16), (32, 16), (1, 128), (8, 128), (1, 512))
SECONDS_A_SHAPE = 1.0
MIN_RUNS = 3
BATCH = 32
WRONG_ARGUMENTS = 2
USAGE = f"usage: python -m benchmarks.engine DIR NAME THREADS [SEQUENCES]; NAME: {', '.join(ENGINES)}"


def main() -> None:
    """Time the engine, or have it score sequences."""
    # by hand, since an environment that has another engine need not have typer
    match sys.argv[1:]:
        case [directory, name, threads, *sequences] if name in ENGINES and threads.isdecimal() and int(threads):
            try:
                run = load(name, Path(directory), int(threads))
                figures = _scores(run, json.loads(Path(sequences[0]).read_text())) if sequences else _times(run)
            except (ModelError, OSError, ImportError, ValueError) as error:
                _fail(f"error: {str(error).strip().partition(chr(10))[0]}", 1)
        case _:
            _fail(USAGE, WRONG_ARGUMENTS)
    sys.stdout.write("\n" + json.dumps(figures) + "\n")


def _fail(line: str, status: int) -> NoReturn:
    sys.stderr.write(f"{line}\n")
    sys.exit(status)


def _times(run: Run) -> dict[str, float]:
    rng = random.Random(1)  # noqa: S311
    figures = {}
    for rows, length in SHAPES:
        figures[f"{rows}x{length}"] = _median_ms(run, [_ids(rng, length) for _ in range(rows)])
    mixed = [_ids(rng, max(3, round(rng.gauss(25, 11)))) for _ in range(32)]
    figures["32 mixed"] = _median_ms(run, mixed)
    return figures


def _scores(run: Run, sequences: list[list[int]]) -> dict[str, list[float]]:
    batches = [sequences[start : start + BATCH] for start in range(0, len(sequences), BATCH)]
    return {
        "alone": [run([sequence])[0] for sequence in sequences],
        "in a batch": [score for batch in batches for score in run(batch)],
    }


def _ids(rng: random.Random, length: int) -> list[int]:
    return [rng.randrange(1000, 10_000) for _ in range(length)]


def _median_ms(run: Run, sequences: list[list[int]]) -> float:
    for _ in range(3):
        run(sequences)
    times: list[float] = []
    end = time.perf_counter() + SECONDS_A_SHAPE
    while time.perf_counter() < end or len(times) < MIN_RUNS:
        began = time.perf_counter()
        run(sequences)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
