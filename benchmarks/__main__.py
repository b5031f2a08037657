"""`make bench`: both stacks in turn over several rounds, a table of medians and ratios, JSON and plots."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import psutil
import typer
from rich.console import Console

from benchmarks import stacks
from benchmarks.figures import publish, summary
from benchmarks.golden import TOLERANCE, golden_answers
from benchmarks.loads import CAPACITY, LOADS, OPEN, Figures, Golden, Load, WrongAnswers, run_load
from benchmarks.machine import machine
from benchmarks.model import base_model
from benchmarks.plots import draw
from benchmarks.report import Rounds, engine_table, load_table, show, write_json
from model.cpu import choose_precision

BUILD = Path("build/bench").absolute()
PAIRS_A_ROUND = 8
"""One pair differs from the next by some 4 %, and the median of many is asked about 3 %."""

ENGINE, START, CACHE_COST = "engine", "start", "cache cost"
"""What is measured besides loads over HTTP."""

console = Console(stderr=True)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Alternating rounds of both stacks.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds a load.")] = 10,
    pictures: Annotated[Path, typer.Option(help="Where the plots go.")] = Path("docs/images"),
    only: Annotated[str, typer.Option(help="Only this load, or: engine, start, cache cost.")] = "",
) -> None:
    """Measure this service against the plain stack on this machine."""
    BUILD.mkdir(parents=True, exist_ok=True)
    model = base_model(BUILD)
    loads = [load for load in LOADS if only in ("", load.name)]
    parts = [*(load.name for load in LOADS), ENGINE, START, CACHE_COST]
    if only not in ("", *parts):
        raise RuntimeError(f"--only {only}: give one of {', '.join(parts)}")
    engines = _engines(model) if only in ("", ENGINE) else {}
    start = {cpus: [_start(model, cpus) for _ in range(rounds)] for cpus in (1, 2)} if only in ("", START) else {}
    measured, memory = _loads(model, loads, rounds, seconds)
    cost = _cache_cost(model, rounds, seconds) if only in ("", CACHE_COST) else []
    fp32 = _fp32_memory(model, seconds) if not only else {}
    rest = {"start": start, "memory_mb": memory, "fp32_memory_mb": fp32, "cache_cost": cost}
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
    if not only:
        publish(summary(measured, machine(), seconds))
        console.print("wrote docs/performance.json, and its figures into README.md and docs/performance.md")
    for picture in [] if only else draw(results, pictures):
        console.print(f"wrote {picture}")
    console.print(f"wrote {results}")


def _loads(model: Path, loads: list[Load], rounds: int, seconds: int) -> tuple[Rounds, dict[str, float]]:
    precision = choose_precision("auto")
    golden = {"ours": golden_answers(model, precision), "reference": golden_answers(model, "fp32")}
    names = [load.name for load in loads]
    names += list(OPEN) if CAPACITY in names else []
    measured: Rounds = {name: {"reference": [], "ours": []} for name in names}
    memory: dict[str, float] = {}
    for turn in range(rounds if loads else 0):
        for stack in ("reference", "ours") if turn % 2 == 0 else ("ours", "reference"):
            with stacks.redis() as redis_url, _start_stack(stack, model, redis_url) as url:
                for load in loads:
                    console.print(f"round {turn + 1}/{rounds}: {stack}, {load.name}")
                    _check(url, golden[stack])
                    measured[load.name][stack].append(_run(load, url, seconds, golden[stack]))
                    _check(url, golden[stack])
                for name, share in OPEN.items() if CAPACITY in names else ():
                    console.print(f"round {turn + 1}/{rounds}: {stack}, {name}")
                    rate = max(1, round(share * measured[CAPACITY][stack][-1].requests_per_s))
                    measured[name][stack].append(_run(Load(name, "new", rate=rate), url, seconds, golden[stack]))
                if stack == "ours":
                    memory = _memory()
    return measured, memory


def _cache_cost(model: Path, rounds: int, seconds: int) -> list[float]:
    """What the caches cost where they never help: throughput with them over throughput without, by pair of runs.

    Both services are up all the time and are loaded in turn, in short runs: a start of one, and the minutes
    between, would differ by more than what is measured.
    """
    load = next(load for load in LOADS if load.name == "no cache, 10 users")
    golden = golden_answers(model, choose_precision("auto"))
    ratios = []
    with (
        stacks.redis() as redis_url,
        stacks.ours(model, redis_url, BUILD / "cached") as cached,
        stacks.ours(model, redis_url, BUILD / "plain", SENTIMENT_CACHE_ENTRIES="0", REDIS_URL="") as plain,
    ):
        for turn in range(PAIRS_A_ROUND * rounds):
            console.print(f"pair {turn + 1}/{PAIRS_A_ROUND * rounds}: ours, {load.name}, caches on and off")
            rates = {}
            for url in (cached, plain) if turn % 2 == 0 else (plain, cached):
                rates[url] = _run(load, url, seconds, golden).requests_per_s
            ratios.append(round(rates[cached] / rates[plain], 3))
    return ratios


def _fp32_memory(model: Path, seconds: int) -> dict[str, float]:
    load = next(load for load in LOADS if load.name == CAPACITY)
    with stacks.redis() as redis_url, stacks.ours(model, redis_url, BUILD, SENTIMENT_PRECISION="fp32") as url:
        _run(load, url, seconds, golden_answers(model, "fp32"))
        return _memory()


def _start_stack(stack: str, model: Path, redis_url: str) -> AbstractContextManager[str]:
    start = stacks.ours if stack == "ours" else stacks.reference
    return start(model.resolve(), redis_url, BUILD)


def _run(load: Load, url: str, seconds: int, golden: Golden) -> Figures:
    return run_load(load, url, seconds, golden, TOLERANCE, BUILD)


def _check(url: str, golden: Golden) -> None:
    """Ask for each golden text alone: it warms the caches, and wrk checks statuses only."""
    for text, wanted in golden.items():
        answer = httpx.post(f"{url}/project/predict", json={"text": [text]}, timeout=30).raise_for_status().json()
        (got,) = [pair["score"] for pair in answer["predictions"][0] if pair["label"] == "POSITIVE"]
        if abs(got - wanted) > TOLERANCE:
            raise WrongAnswers(f"{url} gives a golden text {got}, and it should be {wanted}")


def _engines(model: Path) -> dict[str, dict[str, float]]:
    engines = {}
    for threads in (1, 2):
        for name in ("transformers", "fp32", "int8", *(["int8 lanes"] if threads > 1 else [])):
            console.print(f"engine: {name}, {threads} threads")
            engines[f"{name}, {threads}"] = _json("benchmarks.engine", str(model), name, str(threads))
    return engines


def _start(model: Path, cpus: int) -> Any:
    return _json("benchmarks.startup", str(model), str(cpus), python=stacks.service_python())


def _json(module: str, *arguments: str, python: Path = Path(sys.executable)) -> Any:
    command = [str(python), "-m", module, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])  # noqa: S603


def _memory() -> dict[str, float]:
    """Resident megabytes of the service's own processes, now and at most, by deployment."""
    found: dict[str, float] = {}
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or [])
        if title.startswith("ray::ServeReplica"):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
            name = title.split()[0].rpartition(":")[2]
            found[name] = round(process.memory_info().rss / 1e6)
            found[f"{name} peak"] = round(peak / 1000)
    return found


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except (RuntimeError, subprocess.CalledProcessError) as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(1)
