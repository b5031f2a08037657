"""Medians and ratios of the measurements, as tables and JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.loads import Figures
from benchmarks.machine import machine, where

TITLES = {
    "reference": "FastAPI + transformers",
    "litserve": "LitServe",
    "bentoml": "BentoML",
    "old": "lean, older engine",
    "lean": "lean server",
    "ours": "this service",
}
"""Every possible stack, in the order of the tables."""

BASES = {"lean": "to_lean", "reference": "ratio"}
"""The stacks that this service is compared with, and the names of the ratios in docs/reference/performance.json."""

FIELDS = {"requests_per_s": "requests/s", "p50": "p50 ms", "p99": "p99 ms"}
Rounds = dict[str, dict[str, list[Figures]]]
"""Figures by load and stack, one for each round."""


def median(figures: list[Figures], field: str) -> float:
    """The median over the rounds of one field."""
    return float(statistics.median(getattr(each, field) for each in figures))


def load_table(rounds: Rounds) -> Table:
    """Requests a second and latencies of every stack, with this service's ratios to two of them."""
    columns = stacks_of(rounds)
    ratios = [f"to {TITLES[base]}" for base in BASES]
    titles = [TITLES[stack] for stack in columns]
    table = Table("load", "", *titles, *ratios, title=f"over HTTP, medians; {where()}")
    for load, stacks in rounds.items():
        for field, title in FIELDS.items():
            values = {stack: median(stacks[stack], field) for stack in columns}
            row = (load if field == "requests_per_s" else "", title, *(f"{value:.1f}" for value in values.values()))
            table.add_row(*row, *(f"{values['ours'] / values[base]:.2f}" for base in BASES))
    return table


def too_few(rounds: Rounds, minimum: int) -> list[str]:
    """Rows and stacks with a run of fewer answers than `minimum`, too few for a throughput."""
    return [
        f"{load} of {TITLES[stack]}"
        for load, stacks in rounds.items()
        for stack, runs in stacks.items()
        if min(each.requests for each in runs) < minimum
    ]


def stacks_of(rounds: Mapping[str, Mapping[str, object]]) -> list[str]:
    """The stacks of the rows, in the order of the tables."""
    return [stack for stack in TITLES if all(stack in stacks for stacks in rounds.values())]


def engine_table(engines: dict[str, dict[str, float]]) -> Table:
    """Milliseconds per forward pass by shape, and how many times faster than transformers."""
    shapes = list(next(iter(engines.values())))
    table = Table(
        "engine, threads", *shapes, title=f"a forward pass, median ms (times faster than transformers); {where()}"
    )
    for name, figures in engines.items():
        base = engines[f"transformers, {name.rpartition(' ')[2]}"]
        table.add_row(name, *(f"{figures[shape]:.1f} ({base[shape] / figures[shape]:.1f})" for shape in shapes))
    return table


def write_json(path: Path, rounds: Rounds, engines: dict[str, dict[str, float]], rest: dict[str, Any]) -> None:
    """All figures of all rounds, with machine, commit and versions."""
    loads = {load: {stack: [asdict(each) for each in runs] for stack, runs in s.items()} for load, s in rounds.items()}
    record = {"machine": machine(), "loads": loads, "engine_ms": engines, **rest}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def show(*tables: Table) -> None:
    """Print the tables."""
    for table in tables:
        Console(width=140).print(table)
