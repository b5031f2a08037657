"""`make bench`: all stacks in turn over several rounds, a table of medians and ratios, JSON and plots."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from benchmarks import stacks
from benchmarks.against import require_checkout
from benchmarks.columns import columns
from benchmarks.command import run
from benchmarks.figures import publish, summary
from benchmarks.golden import TOLERANCE, golden_answers
from benchmarks.loads import CAPACITY, LENGTHS, LOADS, Figures, Golden, Load, run_load
from benchmarks.machine import machine
from benchmarks.model import base_model
from benchmarks.plots import draw
from benchmarks.report import Rounds, engine_table, load_table, show, too_few, write_json
from benchmarks.rounds import measure, memory_of_service
from model.cpu import choose_precision

BUILD = Path("build/bench").absolute()
ALL = (*LOADS, *LENGTHS)
MIN_ANSWERS = 5
PAIRS_PER_ROUND = 8
"""Pairs differ by some 4 %, and the median of many must resolve 3 %."""

ENGINE, START, CACHE_COST = "engine", "start", "cache cost"
"""The measurements besides loads over HTTP."""

console = Console(stderr=True)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Alternating rounds of all stacks.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds a load.")] = 10,
    pictures: Annotated[Path, typer.Option(file_okay=False, help="Where the plots go.")] = Path("docs/images"),
    only: Annotated[
        str, typer.Option(help="Only this load, or: loads (all of them), lengths, engine, start, cache cost.")
    ] = "",
    peers: Annotated[bool, typer.Option("--peers", help="Measure LitServe and BentoML too.")] = False,  # noqa: FBT002
    old: Annotated[Path | None, typer.Option(help="Checkout whose engine a second lean server has.")] = None,
) -> None:
    """Measure this service against the plain stack and a lean server on this machine."""
    loads = _chosen(only)
    if old is not None:
        require_checkout(old)
    BUILD.mkdir(parents=True, exist_ok=True)
    model = base_model(BUILD)
    precision = choose_precision("auto")
    measured: Rounds = {}
    memory: dict[str, float] = {}
    engines = _engines(model) if only in ("", ENGINE) else {}
    start = {cpus: [_start(model, cpus) for _ in range(rounds)] for cpus in (1, 2)} if only in ("", START) else {}
    if loads:
        measured, memory = measure(columns(model, BUILD, precision, old, peers), loads, rounds, seconds, BUILD)
    cost = _cache_cost(model, rounds, seconds) if only in ("", CACHE_COST) else []
    fp32 = _fp32_memory(model, seconds) if not only else {}
    rest = {"start": start, "memory_mb": memory, "fp32_memory_mb": fp32, "cache_cost": cost, "precision": precision}
    results = BUILD / (f"results {only}.json" if only else "results.json")
    write_json(results, measured, engines, rest)
    show(*([load_table(measured)] if measured else []), *([engine_table(engines)] if engines else []))
    for cpus, starts in start.items():
        seconds_each = [round(each["total_s"], 2) for each in starts]
        console.print(f"start of a model replica on {cpus} CPUs, s: {seconds_each}, {starts[-1]['stages_s']}")
    if memory:
        console.print(f"memory of the service's processes after the loads, MB: {memory}")
    if fp32:
        console.print(f"the same with SENTIMENT_PRECISION=fp32: {fp32}")
    if cost:
        console.print(
            "all texts new, 10 users: requests/s with the caches over requests/s without: "
            f"{median(cost):.3f}, the pairs {cost}"
        )
    if few := too_few(measured, MIN_ANSWERS):
        console.print(
            f"fewer than {MIN_ANSWERS} answers, so nothing is published; give more --seconds: {', '.join(few)}"
        )
    elif len(loads) == len(ALL):
        for picture in draw(results, pictures):  # it may fail, and then no document may have other figures
            console.print(f"wrote {picture}")
        publish(summary(measured, machine(), seconds))
        console.print("wrote docs/reference/performance.json, and its figures into performance.md there and README.md")
    console.print(f"wrote {results}")


def _chosen(only: str) -> list[Load]:
    """The loads that `--only` names.

    Raises:
        RuntimeError: it names no measurement.
    """
    groups = {"": ALL, "loads": ALL, "lengths": LENGTHS, ENGINE: (), START: (), CACHE_COST: ()}
    groups |= {load.name: (load,) for load in ALL}
    if only not in groups:
        raise RuntimeError(f"--only {only}: give one of {', '.join(filter(None, groups))}")
    return list(groups[only])


def _cache_cost(model: Path, rounds: int, seconds: int) -> list[float]:
    """The cost of caches that never hit: throughput with them over throughput without, by pair of runs.

    Both services run all the time and are loaded alternately, in short runs: restarts, and minutes between runs, would
    change the result by more than the cost.
    """
    load = next(load for load in LOADS if load.name == "no cache, 10 users")
    golden = golden_answers(model, choose_precision("auto"))
    ratios = []
    with (
        stacks.redis() as redis_url,
        stacks.ours(model, redis_url, BUILD / "cached") as cached,
        stacks.ours(model, redis_url, BUILD / "plain", SENTIMENT_CACHE_ENTRIES="0", REDIS_URL="") as plain,
    ):
        for turn in range(PAIRS_PER_ROUND * rounds):
            console.print(f"pair {turn + 1}/{PAIRS_PER_ROUND * rounds}: ours, {load.name}, caches on and off")
            rates = {}
            for url in (cached, plain) if turn % 2 == 0 else (plain, cached):
                rates[url] = _run(load, url, seconds, golden).requests_per_s
            ratios.append(round(rates[cached] / rates[plain], 3))
    return ratios


def _fp32_memory(model: Path, seconds: int) -> dict[str, float]:
    load = next(load for load in LOADS if load.name == CAPACITY)
    with stacks.redis() as redis_url, stacks.ours(model, redis_url, BUILD, SENTIMENT_PRECISION="fp32") as url:
        _run(load, url, seconds, golden_answers(model, "fp32"))
        return memory_of_service()


def _run(load: Load, url: str, seconds: int, golden: Golden) -> Figures:
    return run_load(load, url, seconds, golden, TOLERANCE, BUILD)


def _engines(model: Path) -> dict[str, dict[str, float]]:
    engines = {}
    for threads in (1, 2):
        for name in ("transformers", "fp32", "int8", *(["int8 streams"] if threads > 1 else [])):
            console.print(f"engine: {name}, {threads} threads")
            engines[f"{name}, {threads}"] = _json("benchmarks.engine", str(model), name, str(threads))
    return engines


def _start(model: Path, cpus: int) -> Any:
    return _json("benchmarks.startup", str(model), str(cpus), python=stacks.service_python())


def _json(module: str, *arguments: str, python: Path = Path(sys.executable)) -> Any:
    command = [str(python), "-m", module, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])  # noqa: S603


if __name__ == "__main__":
    run(main, httpx.HTTPError)
