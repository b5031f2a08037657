"""One row a step, judged by the step's bar; the table and the JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from tests.cluster.inside.load import STREAMS
from tests.cluster.outcome import Bar
from tests.cluster.records import Tally, together

SCHEMA = 1
HITS = tuple(stream.name for stream in STREAMS if stream.text == "hit")
NEW = tuple(stream.name for stream in STREAMS if stream.text == "new")
HOLE_S = 0.05
"""Shorter than this is no time without an endpoint: two events of one change are not written at one moment."""


@dataclass
class Row:
    """One step as it went."""

    step: str
    bar: Bar
    began: str = ""
    """Date and time, UTC."""
    seconds: float = 0.0
    """How long it took in all."""
    ready_s: float | None = None
    """Until the service was ready again, in the step's own sense."""
    no_endpoint_s: float = 0.0
    unknown_s: float = 0.0
    """How long nobody could say what endpoints there were."""
    streams: dict[str, Tally] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Everything, with the streams' percentiles in place of their times."""
        return {
            "step": self.step,
            "bar": self.bar.value,
            "began": self.began,
            "seconds": round(self.seconds, 1),
            "ready_s": None if self.ready_s is None else round(self.ready_s, 1),
            "no_endpoint_s": round(self.no_endpoint_s, 2),
            "endpoints_unknown_s": round(self.unknown_s, 2),
            "streams": {name: tally.to_json() for name, tally in sorted(self.streams.items())},
            "notes": self.notes,
            "missed": self.missed,
        }


def missed(bar: Bar, streams: dict[str, Tally], no_endpoint_s: float) -> list[str]:
    """What of the bar does not hold; a stream in which nothing was sent proves nothing, so that is missed too."""
    if bar is Bar.NONE:
        return []
    judged = HITS if bar is Bar.NO_HIT_FAILS else HITS + NEW
    found = []
    for name in judged:
        tally = streams.get(name, Tally())
        if not tally.requests:
            found.append(f"{name}: nothing was sent")
        elif tally.failures:
            found.append(f"{name}: {tally.failures} of {tally.requests} failed ({kinds(tally)})")
    if bar is Bar.NOTHING_FAILS and no_endpoint_s > HOLE_S:
        found.append(f"{no_endpoint_s:.1f} s without an endpoint")
    return found


def kinds(tally: Tally) -> str:
    """Failures by kind, such as `2 reset, 1 5xx`."""
    return ", ".join(f"{number} {kind}" for kind, number in tally.failed.most_common())


def table(rows: Iterable[Row]) -> Table:
    """The rows for people: failures as those on kept connections and those on new ones."""
    shown = Table(title="failed: on kept + on new connections; 429: told when to come again, which is no failure")
    shown.add_column("step")
    names = ("ready s", "no endpoint s", "hits", "failed", "p99 / max ms", "new texts", "failed", "p99 / max ms", "429")
    for name in names:
        shown.add_column(name, justify="right")
    shown.add_column("missed, notes", overflow="fold")
    for row in rows:
        said = Text("\n").join(
            [Text(f"MISSED {text}", style="bold red") for text in row.missed] + [Text(text) for text in row.notes]
        )
        figures = [*_figures(row, HITS), *_figures(row, NEW), str(sum(t.limited for t in row.streams.values()))]
        ready = "" if row.ready_s is None else f"{row.ready_s:.0f}"
        hole = f"{row.no_endpoint_s:.1f}" if row.streams else ""
        shown.add_row(Text(row.step), ready, hole, *figures, said if said.plain else Text("held"))
    return shown


def to_json(rows: Iterable[Row], about: dict[str, Any]) -> dict[str, Any]:
    """The whole run: what it was about, whether every bar held, and the rows."""
    steps = [row.to_json() for row in rows]
    held = all(not row["missed"] for row in steps)
    return {"schema": SCHEMA, **about, "held": held, "steps": steps}


def _figures(row: Row, names: tuple[str, ...]) -> list[str]:
    whole = together(row.streams, names)
    if not whole.requests:
        return ["", "", ""]
    failed = " + ".join(str(row.streams.get(name, Tally()).failures) for name in names)
    ms = whole.to_json()
    return [f"{whole.requests:,}", failed, f"{ms['p99_ms'] or 0:,} / {ms['max_ms'] or 0:,}"]
