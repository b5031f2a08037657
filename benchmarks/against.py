"""`python -m benchmarks.against CHECKOUT`: compares this engine's time for a pass with another checkout's."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.command import run
from benchmarks.engines import ENGINES
from benchmarks.machine import where
from benchmarks.report import show

HERE = Path(__file__).resolve().parent.parent
# each checkout prepares its own model, since an export belongs to the code that wrote it
MODEL = "import pathlib, sys, benchmarks.model as m; print(m.base_model(pathlib.Path(sys.argv[1])))"


def main(
    checkout: Annotated[Path, typer.Argument(help="Another checkout of this repository.")],
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, each with a process of either.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the engine.")] = 1,
    name: Annotated[str, typer.Option(help="One of benchmarks.engines.")] = "int8",
) -> None:
    """Print the median ms of a pass of a production-size model by shape: the other's, ours, and the ratio."""
    require_checkout(checkout)
    if name not in ENGINES:
        raise RuntimeError(f"--name {name}: give one of {', '.join(ENGINES)}")
    times: dict[Path, list[dict[str, float]]] = {checkout.resolve(): [], HERE: []}
    models = {}
    for place in times:
        models[place] = prepare_model(place)
    for number in range(rounds):
        Console(stderr=True).print(f"round {number + 1} of {rounds}")
        for place, figures in times.items():
            figures.append(json.loads(_run(place, "-m", "benchmarks.engine", str(models[place]), name, str(threads))))
    table = Table("shape", "theirs, ms", "ours, ms", "times faster", "by round")
    theirs, ours = times.values()
    for shape in ours[0].keys() & theirs[0].keys():
        pairs = [(there[shape], here[shape]) for there, here in zip(theirs, ours, strict=True)]
        ratios = [there / here for there, here in pairs]
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        table.add_row(
            shape,
            *(f"{median:.1f}" for median in medians),
            f"{statistics.median(ratios):.2f}",
            " ".join(f"{ratio:.2f}" for ratio in sorted(ratios)),
        )
    table.title = f"{name} on {threads} thread(s); {where()}"
    show(table)


def require_checkout(folder: Path) -> None:
    """Check a folder before anything is written into it or measured.

    Raises:
        RuntimeError: it has no benchmark's model and engine.
    """
    for name in ("model.py", "engine.py"):
        if not (folder / "benchmarks" / name).is_file():
            raise RuntimeError(f"{folder} is no checkout of this repository: it has no benchmarks/{name}")


def prepare_model(checkout: Path) -> Path:
    """The directory of the production-size model as that checkout makes and exports it, in its build folder."""
    folder = checkout / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(_run(checkout, "-c", MODEL, str(folder)))


def _run(checkout: Path, *arguments: str) -> str:
    """The last line that Python prints in a checkout."""
    done = subprocess.run([sys.executable, *arguments], cwd=checkout, check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    run(main)
