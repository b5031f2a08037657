"""The pictures that the README and docs/reference/performance.md show, from the JSON of a run."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.loads import LENGTHS
from benchmarks.report import TITLES, stacks_of

COLOURS = {
    "reference": "#9aa5b1",
    "litserve": "#8a63d2",
    "bentoml": "#c9510c",
    "old": "#d4b35a",
    "lean": "#2da44e",
    "ours": "#1f6feb",
}
PERCENTILES = ("p50", "p90", "p99")
USERS = ("1 user", "10 users", "50 users")


def draw(results: Path, folder: Path) -> list[Path]:
    """Draw loads.png, detail.png and, if it was measured, engine.png into `folder` from a results.json; their paths."""
    mpl.use("Agg")
    record = json.loads(results.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    caption = f"{record['machine']['cpu']}, {record['machine']['cores']} cores, commit {record['machine']['commit']}"
    loads = {name: stacks for name, stacks in record["loads"].items() if name not in {load.name for load in LENGTHS}}
    drawn = [_loads(loads, caption, folder / "loads.png"), _detail(loads, caption, folder / "detail.png")]
    return drawn + ([_engine(record["engine_ms"], caption, folder / "engine.png")] if record["engine_ms"] else [])


def _median(runs: list[dict[str, float]], field: str) -> float:
    return statistics.median(run[field] for run in runs)


def _loads(loads: dict[str, Any], caption: str, path: Path) -> Path:
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.6), layout="constrained")
    columns = stacks_of(loads)
    height = 0.84 / len(columns)
    for axis, field, title in (
        (axes[0], "requests_per_s", "requests a second"),
        (axes[1], "p99", "99th percentile, ms"),
    ):
        for number, stack in enumerate(columns):
            values = [_median(stacks[stack], field) for stacks in loads.values()]
            places = [at + (number - (len(columns) - 1) / 2) * height for at in range(len(loads))]
            bars = axis.barh(places, values, 0.95 * height, color=COLOURS[stack], label=TITLES[stack])
            axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=7)
        axis.set_yticks(range(len(loads)), list(loads))
        axis.invert_yaxis()
        axis.set_xscale("log")
        axis.margins(x=0.15)
        axis.set_title(title)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(columns), frameon=False)
    figure.suptitle(f"production-size model, median of the rounds; {caption}", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _detail(loads: dict[str, Any], caption: str, path: Path) -> Path:
    """Latency distribution, throughput against users, and time per stage, side by side."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.4), layout="constrained")
    for stack in stacks_of(loads):
        colour = COLOURS[stack]
        for load, style in (("course load", "-"), ("novel load", "--"), ("no cache, 10 users", ":")):
            values = [_median(loads[load][stack], field) for field in PERCENTILES]
            axes[0].plot(list(PERCENTILES), values, style, marker="o", color=colour, label=f"{load}, {TITLES[stack]}")
        users = [_median(loads[f"no cache, {name}"][stack], "requests_per_s") for name in USERS]
        axes[1].plot(list(USERS), users, marker="o", color=colour, label=TITLES[stack])
    axes[0].set_yscale("log")
    axes[0].set_title("latency, ms")
    axes[1].set_ylim(bottom=0)
    axes[1].set_title("new texts a second against users")
    timed = {load: stacks["ours"] for load, stacks in loads.items() if stacks["ours"][0]["stages"]}
    left = [0.0] * len(timed)
    for stage in ("cache", "tokenize", "queue", "model"):
        values = [statistics.median(run["stages"].get(stage, 0.0) for run in runs) for runs in timed.values()]
        axes[2].barh(list(timed), values, left=left, label=stage)
        left = [start + value for start, value in zip(left, values, strict=True)]
    axes[2].invert_yaxis()
    axes[2].set_title("where a request waits in this service, mean ms")
    for axis in axes:
        axis.legend(frameon=False, fontsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"production-size model, median of the rounds; {caption}", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _engine(engines: dict[str, dict[str, float]], caption: str, path: Path) -> Path:
    figure, axis = plt.subplots(figsize=(11, 3.8), layout="constrained")
    chosen = {name: figures for name, figures in engines.items() if name.endswith(" 1")}
    width = 0.8 / len(chosen)
    for turn, (name, figures) in enumerate(chosen.items()):
        bars = axis.bar(
            [at + turn * width for at in range(len(figures))], list(figures.values()), width * 0.95, label=name
        )
        axis.bar_label(bars, [f"{value:.1f}" for value in figures.values()], fontsize=7)
    shapes = list(next(iter(chosen.values())))
    axis.set_xticks([at + width for at in range(len(shapes))], shapes)
    axis.set_yscale("log")
    axis.set_ylabel("ms a forward pass")
    axis.set_title(f"texts x tokens, one thread; {caption}", fontsize=9)
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
