"""What the load reports, line by line, and what of it falls into a window of time."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.inside.ask import LIMITED, OK


@dataclass
class Tally:
    """Requests of a stream in a window."""

    answered: int = 0
    limited: int = 0
    """429 with Retry-After."""
    failed: Counter[str] = field(default_factory=Counter)
    """Number by kind."""
    ms: list[int] = field(default_factory=list)
    """Of what was answered, and of what failed, since a caller waits for a failure too."""

    @property
    def requests(self) -> int:
        return self.answered + self.limited + self.failures

    @property
    def failures(self) -> int:
        return self.failed.total()

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.answered + other.answered,
            self.limited + other.limited,
            self.failed + other.failed,
            self.ms + other.ms,
        )

    def to_json(self) -> dict[str, Any]:
        """Counts, and milliseconds at the percentiles."""
        return {
            "requests": self.requests,
            "answered": self.answered,
            "limited": self.limited,
            "failed": dict(self.failed),
            "p50_ms": percentile(self.ms, 50),
            "p99_ms": percentile(self.ms, 99),
            "max_ms": percentile(self.ms, 100),
        }


@dataclass(frozen=True)
class _Entry:
    t: float
    """By the load's clock: when a request was sent, or the end of the second that a line is about."""
    stream: str
    tally: Tally


class Records:
    """The lines of the load, in the driver's time. Safe for one thread that adds and others that read."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._lock = threading.Lock()
        self._last_number = 0
        self._behind_s = math.inf
        self.last_arrival = 0.0
        """When the last new line came, by the driver's clock."""

    def add(self, line: str, arrived: float) -> bool:
        """Take a line; False where it is no line of the load, or one that came before.

        Args:
            line: as the pod's log has it.
            arrived: when the driver had it, by its own clock.
        """
        try:
            raw = json.loads(line)
            number, at, entry = int(raw["n"]), float(raw["at"]), _entry(raw)
        except (ValueError, KeyError, TypeError):
            return False
        with self._lock:
            if number <= self._last_number:
                return False
            self._last_number, self.last_arrival = number, arrived
            # the smallest difference seen is that of the clocks, and of the line that was fastest on its way
            self._behind_s = min(self._behind_s, arrived - at)
            self._entries.append(entry)
        return True

    def window(self, start: float, end: float) -> dict[str, Tally]:
        """The tally of each stream from `start` to `end`, by the driver's clock."""
        tallies: dict[str, Tally] = {}
        with self._lock:
            for entry in self._entries:
                if start <= entry.t + self._behind_s < end:
                    tallies[entry.stream] = tallies.get(entry.stream, Tally()) + entry.tally
        return tallies


def _entry(raw: dict[str, Any]) -> _Entry:
    if raw["type"] == "many":
        ms = [int(each) for each in raw["ms"]]
        return _Entry(float(raw["at"]), raw["stream"], Tally(len(ms), int(raw["limited"]), Counter(), ms))
    kind, ms = raw["kind"], [round(float(raw["s"]) * 1000)]
    if kind == OK:
        return _Entry(float(raw["t"]), raw["stream"], Tally(1, ms=ms))
    if kind == LIMITED:
        return _Entry(float(raw["t"]), raw["stream"], Tally(limited=1))
    return _Entry(float(raw["t"]), raw["stream"], Tally(failed=Counter({kind: 1}), ms=ms))


def together(tallies: dict[str, Tally], names: Iterable[str]) -> Tally:
    """The streams of those names as one."""
    total = Tally()
    for name in names:
        total += tallies.get(name, Tally())
    return total


def percentile(values: list[int], percent: float) -> int | None:
    """The smallest value that so many percent do not exceed; None where there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
