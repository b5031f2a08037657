"""`make abuse`: measures how twelve kinds of hostile clients affect honest ones."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import stacks
from benchmarks.abuse.honest import Seen, use
from benchmarks.abuse.hostile import KINDS, attack
from benchmarks.command import run
from benchmarks.machine import where
from model.directory import open_directory
from serve_app.settings import MINI_MODEL

BUILD = Path("build/abuse").absolute()
OK = 200
MAX_FACTOR, MAX_CPU, MAX_GIB, SECOND_TRY = 5.0, 0.5, 3.0, 0.95
_SAMPLE_S = 2.0
_RISE = 1.02


def main(
    model: Annotated[Path, typer.Option(help="Model directory.")] = MINI_MODEL,
    seconds: Annotated[float, typer.Option(min=1, help="How long they are hostile.")] = 60,
    faster: Annotated[float, typer.Option(min=0.1, help="How many times shorter the hostile clients rest.")] = 1,
) -> None:
    """Use the service alone, then beside hostile clients, and print what the honest ones saw."""
    open_directory(model)  # a wrong one is known before anything is started
    BUILD.mkdir(parents=True, exist_ok=True)
    with stacks.redis() as redis_url, stacks.ours(model, redis_url, BUILD) as url:
        port = int(url.rpartition(":")[2])
        service = next(each for each in psutil.Process().children() if "serve_app.local" in each.cmdline())
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            pool.submit(use, port, 5).result()
            alone = pool.submit(use, port, seconds / 3).result()
            honest = pool.submit(use, port, seconds)
            counts, cpu, shares = _sampled(pool.submit(attack, port, seconds, faster), service)
            beside = honest.result()
    table = Table("hostile clients", "a second", title=f"{seconds:g} s; {where()}")
    for kind in KINDS:
        table.add_row(kind.name, f"{counts[kind.name] / seconds:.1f}")
    bars = Table("what", "measured", "bar", "")
    rows = _rows(alone, beside, cpu, shares)
    for what, measured, bar, held in rows:
        bars.add_row(what, measured, bar, "ok" if held else "[red]missed")
    console = Console()
    console.print(table)
    console.print(bars)
    if not all(held for *_, held in rows):
        raise typer.Exit(1)


def _sampled(
    attacking: Future[tuple[Counter[str], float]], service: psutil.Process
) -> tuple[Counter[str], float, list[float]]:
    """The attack's counts and CPU share, and the service's memory in GiB meanwhile."""
    shares: list[float] = []
    while not attacking.done():
        shares.append(_gib(service))
        time.sleep(_SAMPLE_S)
    return *attacking.result(), shares


def _gib(service: psutil.Process) -> float:
    """Memory of a process and its descendants, shared pages divided equally."""
    total = 0
    try:
        processes = [service, *service.children(recursive=True)]
    except psutil.NoSuchProcess:  # it crashed, which the other rows show
        return 0.0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**30


def _rows(alone: Seen, beside: Seen, cpu: float, shares: list[float]) -> list[tuple[str, str, str, bool]]:
    """Rows of name, figure, bar, and whether it holds."""
    idle, loaded = alone.hits.percentile_ms(99), beside.hits.percentile_ms(99)
    failed = sum(record.failed for record in (beside.hits, beside.first, beside.second))
    tries = sum(beside.second.statuses.values())
    kept = beside.second.statuses[OK] / tries if tries else 1.0
    half = shares[len(shares) // 2 :]
    middle = len(half) // 2
    earlier, later = (sum(part) / max(1, len(part)) for part in (half[:middle], half[middle:]))
    return [
        ("CPUs of the hostile", f"{cpu:.2f}", f"<= {MAX_CPU}", cpu <= MAX_CPU),
        ("p99 of hits, ms", f"{loaded:.1f}; alone {idle:.1f}", f"<= {MAX_FACTOR:g} x", loaded <= MAX_FACTOR * idle),
        ("statuses of hits", _statuses(beside.hits.statuses), "only 200", set(beside.hits.statuses) == {OK}),
        ("5xx or no answer", f"{failed}", "0", not failed),
        ("statuses, uncached", _statuses(beside.first.statuses), "200, 429", set(beside.first.statuses) <= {OK, 429}),
        ("served at Retry-After", f"{kept:.0%} of {tries}", f"{SECOND_TRY:.0%}", kept >= SECOND_TRY),
        ("health", _statuses(beside.health), "only 200", set(beside.health) == {OK}),
        ("memory, GiB", f"{max(shares):.2f}", f"<= {MAX_GIB:g}", max(shares) <= MAX_GIB),
        ("its last half", f"{earlier:.2f}, then {later:.2f}", "does not rise", later <= earlier * _RISE),
    ]


def _statuses(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))


if __name__ == "__main__":
    run(main)
