"""Measures how many passes of the model a new text waits for in a busy service: `python -m benchmarks.passes`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import orjson
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import stacks
from benchmarks.machine import where
from benchmarks.model import base_model
from benchmarks.overload.clients import OK, Novelties, Record, ask, ask_in_turn, open_loop
from benchmarks.overload.connections import Connections
from benchmarks.overload.cpus import move_to, split_cpus
from benchmarks.overload.run import go_first
from model.tokenizer import TextTokenizer
from serve_app.settings import Settings

BUILD = Path("build/passes").absolute()
USERS, SHARE, LIST = 50, 0.9, 1000
OPEN, BESIDE = f"open at {SHARE:.0%}, p50", f"beside lists of {LIST}, p99"
BARS = {OPEN: 4, BESIDE: 3}
"""Passes by which the row may be slower than the same percentile of an idle service."""


def main(
    model: Annotated[Path | None, typer.Option(help="Model directory; without it a random DistilBERT-base.")] = None,
    seconds: Annotated[float, typer.Option(help="Seconds a load.")] = 20,
) -> None:
    """Load the service with new texts, and compare their times with an idle service's, in passes."""
    BUILD.mkdir(parents=True, exist_ok=True)
    model = model or base_model(BUILD)
    for_service, for_clients = split_cpus()
    move_to(for_service)
    with stacks.redis() as redis_url, stacks.ours(model, redis_url, BUILD) as url:
        move_to(for_clients)
        idle, texts_per_s, rows = uvloop.run(_run(int(url.rpartition(":")[2]), seconds))
    pass_ms = _pass_ms(model, texts_per_s, len(for_service))
    table = Table("load", "ms", "passes more than idle", "at most", "", title=where())
    for name, (measured_ms, idle_ms) in rows.items():
        passes = (measured_ms - idle_ms) / pass_ms
        held = passes <= BARS[name]
        table.add_row(
            name, f"{measured_ms:.0f}; idle {idle_ms:.0f}", f"{passes:.1f}", f"{BARS[name]}", "ok" if held else "missed"
        )
    console = Console()
    console.print(table)
    console.print(
        f"{texts_per_s:.1f} new texts/s for {USERS} users; a pass takes {pass_ms:.0f} ms; "
        f"idle p50 {idle.percentile_ms(50):.0f} ms, p99 {idle.percentile_ms(99):.0f} ms of {idle.statuses[OK]}"
    )


async def _run(port: int, seconds: float) -> tuple[Record, float, dict[str, tuple[float, float]]]:
    """The idle service's record, the texts a second at capacity, and of each row its time and the idle one, in ms."""
    go_first()
    connections, single, lists = Connections(port), Novelties(1), Novelties(LIST)

    async def closed(users: int, novelties: Novelties, each_s: float) -> Record:
        record, end = Record(), time.perf_counter() + each_s
        await asyncio.gather(*(ask_in_turn(connections, novelties, record, end) for _ in range(users)))
        return record

    await closed(USERS, single, seconds / 4)  # so that the service learns its rate
    idle = await closed(1, single, seconds)
    texts_per_s = (await closed(USERS, single, seconds)).statuses[OK] / seconds
    busy = Record()
    await open_loop(SHARE * texts_per_s, seconds, lambda: ask(connections, single.body(), busy))
    beside, _ = await asyncio.gather(closed(1, single, seconds), closed(1, lists, seconds))
    connections.close()
    rows = {
        OPEN: (busy.percentile_ms(50), idle.percentile_ms(50)),
        BESIDE: (beside.percentile_ms(99), idle.percentile_ms(99)),
    }
    return idle, texts_per_s, rows


def _pass_ms(model: Path, texts_per_s: float, streams: int) -> float:
    """Time of a full pass if `streams` of them run at a time."""
    settings = Settings()
    texts = orjson.loads(Novelties(LIST).body())["text"]
    lines = TextTokenizer(model, settings.max_tokens or 512).encode(texts)
    tokens_per_s = texts_per_s * sum(len(line.ids) for line in lines) / len(lines)
    return streams * settings.batch_tokens / tokens_per_s * 1000


if __name__ == "__main__":
    typer.run(main)
