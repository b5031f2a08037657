"""How fast files are scored: `python -m benchmarks.score`; in how much memory: the same with `--rows 1000000`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from ray.cluster_utils import Cluster
from rich.console import Console
from rich.table import Table

from benchmarks.command import run
from benchmarks.machine import where
from benchmarks.model import base_model, checked_model
from benchmarks.score import alone, command, files
from serve_app.local.cpus import usable_cpus
from serve_app.local.run_folder import run_folder
from serve_app.score.errors import ScoreError
from serve_app.settings import MINI_MODEL

BUILD = Path("build/score").absolute()
NODES = (1, 3)
FEWER = 10
"""Memory is compared with that of so many times fewer rows."""
MAX_GROWTH = 1.5
MIN_OF_ENGINE, MIN_GAIN, MIN_RATIO = 0.90, 0.93, 4.5
STORE_BYTES = 100_000_000


def main(
    rows: Annotated[int | None, typer.Option(min=FEWER, help="Measure memory instead, on so many rows.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model directory; without it a random DistilBERT-base.")] = None,
    sst2: Annotated[int, typer.Option(min=0, help="Rows of SST-2's lengths; 0 leaves them out.")] = 8192,
    mixed: Annotated[int, typer.Option(min=0, help="Rows of 5 to 512 tokens; 0 leaves them out.")] = 3072,
    nodes: Annotated[
        int, typer.Option(min=0, help="Rows that one and three Ray nodes score; 0 leaves them out.")
    ] = 4096,
) -> None:
    """Print rows/s of the command, of the engine alone and of transformers' pipeline, or the peak of memory."""
    BUILD.mkdir(parents=True, exist_ok=True)
    console = Console()
    if rows is not None:
        _memory(rows, checked_model(model or MINI_MODEL), console)
    else:
        model = base_model(BUILD) if model is None else checked_model(model)
        sizes: dict[files.Lengths, int] = {"sst2": sst2, "mixed": mixed}
        _speed(model, {lengths: size for lengths, size in sizes.items() if size}, console)
        if nodes:
            _nodes(model, nodes, console)


def _memory(rows: int, model: Path, console: Console) -> None:
    table = Table("rows", "rows/s", "s", "peak of PSS, MB", title=where())
    peaks = []
    for number in (rows // FEWER, rows):
        source = files.write(BUILD / f"short-{number}.csv", "short", number)
        measured = command.run(source, BUILD / "out.csv", _environment(model))
        with (BUILD / "out.csv").open("rb") as output:
            lines = sum(1 for _ in output) - 1
        if lines != number:
            raise ScoreError(f"{lines} rows came out of {number}")
        peaks.append(measured.peak_mb)
        table.add_row(
            f"{number:,}", f"{measured.rows_per_s:,.0f}", f"{measured.seconds:.0f}", f"{measured.peak_mb:,.0f}"
        )
    console.print(table)
    growth = peaks[1] / peaks[0]
    console.print(f"{growth:.2f} times the memory, at most {MAX_GROWTH}: {_verdict(growth <= MAX_GROWTH)}")


def _speed(model: Path, sizes: dict[files.Lengths, int], console: Console) -> None:
    table = Table("texts", "what", "rows/s", "", title=where())
    cpus = usable_cpus()
    for lengths, rows in sizes.items():
        source = files.write(BUILD / f"{lengths}.csv", lengths, rows)
        some = list(files.texts(lengths, rows))
        engines = [alone.engine(model, some, threads) for threads in (1, cpus)]
        runs = [command.run(source, BUILD / "out.csv", _environment(model), workers=count) for count in (1, cpus)]
        plain, batch = alone.transformers(model, some[:: max(1, rows // 256)], cpus)
        gain, engines_gain = runs[1].rows_per_s / runs[0].rows_per_s, engines[1] / engines[0]
        of_engine, ratio = runs[1].rows_per_s / engines[1], runs[1].rows_per_s / plain
        table.add_row(lengths, f"transformers, {cpus} threads, batches of {batch}, sorted", f"{plain:.1f}", "")
        for threads, each in zip((1, cpus), engines, strict=True):
            table.add_row(lengths, f"engine alone, {threads} threads", f"{each:.1f}", "")
        table.add_row(lengths, "command, 1 worker", f"{runs[0].rows_per_s:.1f}", "")
        words = f"{of_engine:.2f} of the engine: {_verdict(of_engine >= MIN_OF_ENGINE)}"
        table.add_row(lengths, f"command, {cpus} workers", f"{runs[1].rows_per_s:.1f}", words)
        words = f"{gain / engines_gain:.2f} of the engine's gain: {_verdict(gain >= MIN_GAIN * engines_gain)}"
        table.add_row(lengths, f"gain of {cpus} workers", f"{gain:.2f}", words)
        words = f"at least {MIN_RATIO}: {_verdict(ratio >= MIN_RATIO)}" if lengths == "mixed" else ""
        table.add_row(lengths, "times transformers", f"{ratio:.1f}", words)
    if sizes:
        console.print(table)


def _nodes(model: Path, rows: int, console: Console) -> None:
    source = files.write(BUILD / "nodes-in.csv", "sst2", rows)
    for nodes in NODES:
        digest, measured = _on_nodes(nodes, source, model)
        console.print(f"{nodes} local Ray nodes: {measured.rows_per_s:.1f} rows/s, output {digest[:16]}")


def _on_nodes(nodes: int, source: Path, model: Path) -> tuple[str, command.Measured]:
    output = BUILD / "nodes.csv"
    with _cluster(nodes) as (address, folder):
        environment = {**_environment(model), "RAY_TMPDIR": folder}
        measured = command.run(source, output, environment, address=address)
    return hashlib.sha256(output.read_bytes()).hexdigest(), measured


@contextmanager
def _cluster(nodes: int) -> Iterator[tuple[str, str]]:
    """So many Ray nodes of one CPU on this machine; their address, and their folder."""
    with run_folder() as folder:
        os.environ["RAY_TMPDIR"] = str(folder)
        head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "temp_dir": str(folder / "ray")}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(nodes - 1):
                cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
            cluster.wait_for_nodes()
            yield cluster.address, str(folder)
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]


def _environment(model: Path) -> dict[str, str]:
    return {**os.environ, "SENTIMENT_MODEL_DIR": str(model)}


def _verdict(held: bool) -> str:  # noqa: FBT001
    return "ok" if held else "missed"


if __name__ == "__main__":
    run(main, ScoreError)
