"""The autoscaling policy that serve_config.yaml names: replicas by the load that they report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ray.serve.config import AutoscalingContext

LOAD = "load"
"""The metric that each replica reports: the work sent to it, refused work included, as a share of its capacity."""

_TARGET = 0.7


def replicas_by_load(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """As many replicas as would be busy for 70 % of the time; the configuration's bounds and delays then apply.

    Serve's own policy counts calls: a long list is one, a refused call none, and calls that wait elsewhere count too.
    """
    loads = (context.aggregated_metrics or {}).get(LOAD)
    if not loads:  # none has reported yet
        return context.target_num_replicas, {}
    return max(1, math.ceil(sum(loads.values()) / _TARGET)), {}


class Meter:
    """Seconds of work per second of time between two reports; `done_s` returns the total work so far."""

    def __init__(self, done_s: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._done_s, self._clock = done_s, clock
        self._last = clock(), done_s()

    def share(self) -> float:
        """The share since the last call; above 1 if there was more work than time."""
        (since, before), self._last = self._last, (self._clock(), self._done_s())
        return (self._last[1] - before) / max(self._last[0] - since, 1e-3)
