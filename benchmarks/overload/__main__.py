"""Starts the service with a model of production size, overloads it, and compares the results with the bars."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import command, stacks
from benchmarks.machine import where
from benchmarks.model import base_model, checked_model
from benchmarks.overload.clients import OK, TOO_BUSY, Record
from benchmarks.overload.cpus import move_to, split_cpus
from benchmarks.overload.run import Plan, Result, run

BUILD = Path("build/overload").absolute()
GOODPUT, HITS_FACTOR, SECOND_TRY = 0.92, 2.0, 0.99
MIN_S = Plan.fill_s + 1


def main(
    model: Annotated[Path | None, typer.Option(help="Model directory; without it a random DistilBERT-base.")] = None,
    factor: Annotated[float, typer.Option(min=1, help="Offered load, as a multiple of the peak.")] = 10,
    texts: Annotated[int, typer.Option(min=1, help="New texts in each request.")] = 10,
    seconds: Annotated[
        float, typer.Option(min=MIN_S, help="How long; goodput is measured after the first ten seconds.")
    ] = 60,
    replicas: Annotated[int | None, typer.Option(min=1, help="Replicas of each kind; default: by load.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="Have clients use the service's CPUs too.")] = False,  # noqa: FBT002
) -> None:
    """Overload the service, and print the outcome of every client."""
    BUILD.mkdir(parents=True, exist_ok=True)
    plan = Plan(factor=factor, texts=texts, overload_s=seconds)
    model = base_model(BUILD) if model is None else checked_model(model)
    for_service, for_clients = (set(), set()) if shared else split_cpus()
    move_to(for_service)
    settings = {} if replicas is None else {"REPLICAS": str(replicas)}
    with stacks.redis() as redis_url, stacks.ours(model, redis_url, BUILD, **settings) as url:
        move_to(for_clients)
        result = uvloop.run(run(int(url.rpartition(":")[2]), plan))
    rows = report(result, plan)
    shares = _shares(for_service, for_clients)
    table = Table(
        "what", "measured", "at least", "", title=f"{factor:g} x overload, {seconds:g} s, {shares}; {where()}"
    )
    for what, measured, bar, held in rows:
        table.add_row(what, measured, bar, "" if held is None else "ok" if held else "[red]missed")
    Console().print(table)
    if not all(held is not False for *_, held in rows):
        raise typer.Exit(1)


def report(result: Result, plan: Plan) -> list[tuple[str, str, str, bool | None]]:
    """Rows of name, figure, bar, and whether it holds; None if there is no bar."""
    before, after = result.peaks
    share = result.goodput / result.peak if result.peak else math.nan
    idle, loaded = result.idle_hits.percentile_ms(99), result.hits.percentile_ms(99)
    failed = result.first.failed + result.second.failed + result.hits.failed
    tries = sum(result.second.statuses.values())
    succeeded = result.second.statuses[OK] / tries if tries else 0.0
    without_time = result.first.without_retry_after + result.second.without_retry_after
    return [
        ("peak, requests/s", f"{before:.1f} before, {after:.1f} after, of {plan.texts} new texts", "", None),
        ("offered, requests/s", f"{result.offered:.1f}", "", None),
        ("statuses, new texts", _statuses(result.first), "", None),
        ("statuses, second tries", _statuses(result.second), "", None),
        ("statuses, hits", _statuses(result.hits), "only 200", set(result.hits.statuses) == {OK}),
        ("5xx or no answer", f"{failed}", "0", not failed),
        ("429 without Retry-After", f"{without_time}", "0", not without_time),
        ("goodput / peak", f"{share:.2f}", f"{GOODPUT:.2f}", share >= GOODPUT),
        ("p50 of admitted, ms", f"{result.first.percentile_ms(50):.0f}", "", None),
        ("p99 of admitted, ms", f"{result.first.percentile_ms(99):.0f}", "", None),
        ("p99 of hits, ms", f"{loaded:.1f}; idle {idle:.1f}", f"<= {HITS_FACTOR:g} x", loaded <= HITS_FACTOR * idle),
        (
            "CPUs used, and at the peak",
            "\n".join(f"{cpus:.2f}, {peak:.2f} {name}" for name, cpus, peak in result.cpus),
            "",
            None,
        ),
        ("second tries that succeed", f"{succeeded:.1%} of {tries}", f"{SECOND_TRY:.0%}", succeeded >= SECOND_TRY),
    ]


def _shares(for_service: set[int], for_clients: set[int]) -> str:
    if for_service == for_clients:
        return "service and clients on the same CPUs"
    return f"service on CPUs {_list(for_service)}, clients on CPU {_list(for_clients)}"


def _list(cpus: set[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))


def _statuses(record: Record) -> str:
    named = {OK: "200", TOO_BUSY: "429", 0: "none"}
    return ", ".join(f"{count} x {named.get(status, status)}" for status, count in sorted(record.statuses.items()))


if __name__ == "__main__":
    command.run(main)
