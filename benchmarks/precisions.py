"""`python -m benchmarks.precisions --data DIR`: speed and fidelity of the engines that were tried."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import stacks
from benchmarks.command import run
from benchmarks.engines import ENGINES
from benchmarks.machine import where
from benchmarks.model import base_model
from benchmarks.report import show
from model.cpu import multiplies_bf16_tiles
from model.data import load_split
from model.tokenizer import TextTokenizer
from serve_app.settings import MINI_MODEL

BUILD = Path("build/bench").absolute()
THREADS = "2"
REFERENCE = "transformers"
SHAPES = ("1x8", "32x16", "1x128", "8x128")
console = Console(stderr=True)


def main(
    data: Annotated[str, typer.Option(help="Folder with SST-2's dev.tsv, or a hub data set.")] = "stanfordnlp/sst2",
) -> None:
    """Print ms a forward pass of a production-size model, and the embedded model's accuracy, by engine."""
    BUILD.mkdir(parents=True, exist_ok=True)
    dev = load_split(data, "dev")
    sequences = BUILD / "sequences.json"
    sequences.write_text(json.dumps([line.ids for line in TextTokenizer(MINI_MODEL, 512).encode(dev.texts)]))
    model, embedded = base_model(BUILD), _embedded()
    onnx_python = str(stacks.onnx_python(BUILD))
    times, scores = {}, {}
    for name in ENGINES:
        if name == "bf16" and not multiplies_bf16_tiles():  # the engine refuses to run
            continue
        python = onnx_python if name.startswith("ONNX") else sys.executable
        console.print(f"{name}: time, then scores of {len(dev.texts)} texts")
        times[name] = _run(python, model, name)
        scores[name] = _run(python, embedded, name, str(sequences))
    table = Table("engine", *SHAPES, "accuracy", "labels flipped", "mean stray", "largest", "alone or batched")
    for name, figures in times.items():
        faster = [f"{figures[shape]:.1f} ({times[REFERENCE][shape] / figures[shape]:.1f})" for shape in SHAPES]
        table.add_row(name, *faster, *_strays(scores[name], scores[REFERENCE]["alone"], dev.labels))
    table.title = (
        f"ms a forward pass on {THREADS} threads (times faster than transformers); scores against its fp32; {where()}"
    )
    show(table)


def _strays(scores: dict[str, list[float]], reference: list[float], labels: list[int]) -> tuple[str, ...]:
    """Accuracy, labels flipped, score differences from the reference, and from the same text in a batch."""
    alone = scores["alone"]
    right = sum((score > 0.5) == bool(label) for score, label in zip(alone, labels, strict=True))  # noqa: PLR2004
    flipped = sum((a > 0.5) != (b > 0.5) for a, b in zip(alone, reference, strict=True))  # noqa: PLR2004
    strays = [abs(a - b) for a, b in zip(alone, reference, strict=True)]
    apart = max(abs(a - b) for a, b in zip(alone, scores["in a batch"], strict=True))
    mean = sum(strays) / len(strays)
    return f"{right / len(labels):.4f}", str(flipped), f"{mean:.4f}", f"{max(strays):.3f}", f"{apart:.0e}"


def _embedded() -> Path:
    """A copy of the embedded model, since an ONNX export is written beside the weights."""
    return shutil.copytree(MINI_MODEL, BUILD / "mini", dirs_exist_ok=True)


def _run(python: str, model: Path, name: str, *arguments: str) -> Any:
    command = [python, "-m", "benchmarks.engine", str(model), name, THREADS, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    run(main)
