"""`python -m tests.e2e.chaos`: every fault under load, as a table, with the bars that it misses."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.machine import where
from benchmarks.stacks import service_python
from tests.e2e.chaos.faults import FAULTS
from tests.e2e.chaos.measure import Row, measure, measure_disconnects
from tests.e2e.chaos.stage import Stage

HEAD = ("fault", "requests", "failed", "wrong", "slowest s", "recovered after s", "what failed; missed bars")

DISCONNECTS, GOOD = 10_000, 1_000


def markdown(rows: list[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [f"| {' | '.join(HEAD)} |", "|---|" + "---:|" * 5 + "---|"]
    for row in rows:
        notes = [f"{number} {kind}" for kind, number in row.kinds.items()] + [
            f"**missed: {bar}**" for bar in row.missed
        ]
        figures = (row.requests, row.failed, row.wrong, f"{row.slowest_s:.2f}", f"{row.recovery_s:.1f}")
        lines.append(f"| {row.fault} | {' | '.join(map(str, figures))} | {', '.join(notes)} |")
    return "\n".join([*lines, "", f"{where()}."]) + "\n"


def main(
    only: Annotated[str, typer.Option(help="Run the faults whose name this regular expression finds.")] = "",
    build: Annotated[Path, typer.Option(help="Where chaos.md and chaos.json go.")] = Path("build"),
) -> None:
    """Run the faults one after another on a service of their own; exit code 1 where a bar is missed."""
    console = Console(stderr=True)
    faults = [fault for fault in FAULTS if re.search(only, fault.name, re.IGNORECASE)]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        stage = Stage(Path(folder), service_python())
        try:
            with console.status("starting the service"):
                stage.start()
            if not only or re.search(only, "clients gone", re.IGNORECASE):
                with console.status("clients going"):
                    rows.append(asyncio.run(measure_disconnects(stage, DISCONNECTS, GOOD)))
            for seed, fault in enumerate(faults):
                with console.status(fault.name):
                    rows.append(asyncio.run(measure(stage, fault, seed)))
                console.print(rows[-1])
        finally:
            stage.stop()
    build.mkdir(exist_ok=True)
    (build / "chaos.md").write_text(markdown(rows), encoding="utf-8")
    (build / "chaos.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    typer.echo(markdown(rows))
    if any(row.missed for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
