"""How many replicas there should be, by the load that they report: what serve_config.yaml names as policy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ray.serve.config import AutoscalingContext

LOAD = "load"
"""What each replica reports: what came to it, also what was refused, as a share of what it can do."""

_TARGET = 0.7


def replicas_by_load(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """As many as would be busy for seven tenths of the time; the bounds and delays of the configuration then apply.

    Serve by itself counts calls: a few long lists are few, refused ones none, and those that wait elsewhere many.
    """
    loads = (context.aggregated_metrics or {}).get(LOAD)
    if not loads:  # none has reported yet
        return context.target_num_replicas, {}
    return max(1, math.ceil(sum(loads.values()) / _TARGET)), {}


class Meter:
    """The seconds of work, as `done_s` counts them, in each second between one report and the next."""

    def __init__(self, done_s: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._done_s, self._clock = done_s, clock
        self._last = clock(), done_s()

    def share(self) -> float:
        """The share since this was last asked; above 1 if there was more work than time."""
        (since, before), self._last = self._last, (self._clock(), self._done_s())
        return (self._last[1] - before) / max(self._last[0] - since, 1e-3)
