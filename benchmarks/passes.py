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
from benchmarks.command import run
from benchmarks.machine import where
from benchmarks.model import base_model, checked_model
from benchmarks.overload.clients import OK, Novelties, Record, ask, ask_in_turn, open_loop
from benchmarks.overload.connections import Connections
from benchmarks.overload.cpus import move_to, split_cpus
from benchmarks.overload.run import go_first
from model.tokenizer import TextTokenizer
from serve_app.settings import Settings

BUILD = Path("build/passes").absolute()
USERS, SHARE, LIST = 50, 0.9, 1000
LONG_LIST, LONG_WORDS = 300, 520
"""Texts that are all cut at the model's limit of 512 tokens: each is a pass of its own, the longest there is."""
OPEN = f"open at {SHARE:.0%}, p50"
BESIDE, BESIDE_LONG = f"beside lists of {LIST} sentences, p99", f"beside lists of {LONG_LIST} texts of 512 tokens, p99"
BARS = {OPEN: 4, BESIDE: 3, BESIDE_LONG: 3}
"""Passes by which the row may be slower than the same percentile of an idle service; in the last row the longest."""
BESIDE_TIMES = 4
"""How many times as long as the others a load beside lists runs, so that its percentile is one of hundreds."""


def main(
    model: Annotated[Path | None, typer.Option(help="Model directory; without it a random DistilBERT-base.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds a load.")] = 20,
) -> None:
    """Load the service with new texts, and compare their times with an idle service's, in passes."""
    BUILD.mkdir(parents=True, exist_ok=True)
    model = base_model(BUILD) if model is None else checked_model(model)
    for_service, for_clients = split_cpus()
    move_to(for_service)
    with stacks.redis() as redis_url, stacks.ours(model, redis_url, BUILD) as url:
        move_to(for_clients)
        idle, texts_per_s, rows = uvloop.run(_run(int(url.rpartition(":")[2]), seconds))
    pass_ms, longest_ms = _pass_ms(model, texts_per_s, len(for_service))
    table = Table("load", "new texts", "ms", "passes more than idle", "at most", "", title=where())
    for name, (record, percent) in rows.items():
        measured_ms, idle_ms = record.percentile_ms(percent), idle.percentile_ms(percent)
        passes = (measured_ms - idle_ms) / (longest_ms if name == BESIDE_LONG else pass_ms)
        figures = f"{record.statuses[OK]}", f"{measured_ms:.0f}; idle {idle_ms:.0f}", f"{passes:.1f}", f"{BARS[name]}"
        table.add_row(name, *figures, "ok" if passes <= BARS[name] else "missed")
    console = Console()
    console.print(table)
    console.print(
        f"{texts_per_s:.1f} new texts/s for {USERS} users; a pass takes {pass_ms:.0f} ms, "
        f"the longest {longest_ms:.0f} ms; "
        f"idle p50 {idle.percentile_ms(50):.0f} ms, p99 {idle.percentile_ms(99):.0f} ms of {idle.statuses[OK]}"
    )


async def _run(port: int, seconds: float) -> tuple[Record, float, dict[str, tuple[Record, float]]]:
    """The idle service's record, the texts a second at capacity, and each row's record with its percentile."""
    go_first()
    connections, single = Connections(port), Novelties(1)
    lists = {BESIDE: Novelties(LIST), BESIDE_LONG: Novelties(LONG_LIST, LONG_WORDS)}

    async def closed(users: int, novelties: Novelties, each_s: float) -> Record:
        record, end = Record(), time.perf_counter() + each_s
        await asyncio.gather(*(ask_in_turn(connections, novelties, record, end) for _ in range(users)))
        return record

    await closed(USERS, single, seconds / 4)  # so that the service learns its rate
    idle = await closed(1, single, seconds)
    texts_per_s = (await closed(USERS, single, seconds)).statuses[OK] / seconds
    busy = Record()
    await open_loop(SHARE * texts_per_s, seconds, lambda: ask(connections, single.body(), busy))
    rows: dict[str, tuple[Record, float]] = {OPEN: (busy, 50)}
    for name, of_lists in lists.items():
        beside_s = BESIDE_TIMES * seconds
        beside, _ = await asyncio.gather(closed(1, single, beside_s), closed(1, of_lists, beside_s))
        rows[name] = beside, 99
    connections.close()
    return idle, texts_per_s, rows


def _pass_ms(model: Path, texts_per_s: float, streams: int) -> tuple[float, float]:
    """Times of a full pass and of the longest one, if `streams` of them run at a time."""
    settings = Settings()
    texts = orjson.loads(Novelties(LIST).body())["text"]
    lines = TextTokenizer(model, settings.max_tokens or 512).encode(texts)
    tokens_per_s = texts_per_s * sum(len(line.ids) for line in lines) / len(lines)
    longest = max(settings.batch_tokens, settings.max_tokens or 512)
    return streams * settings.batch_tokens / tokens_per_s * 1000, streams * longest / tokens_per_s * 1000


if __name__ == "__main__":
    run(main)
