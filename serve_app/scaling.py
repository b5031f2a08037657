"""How many replicas there should be, by the work that there is for them: what serve_config.yaml names as policies."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ray.serve.config import AutoscalingContext

WORK = "classifiers_of_work"
"""What each classifier reports: the work that came to it, refused work included, as a share of what it can do."""

LOAD = "busy_cpus"
"""What each ingress reports: the share of a CPU that it used. Its loop runs on one, so 1 is all that it can do."""

_TARGET = 0.7


def classifiers_by_work(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """As many as would be busy for seven tenths of the time; the bounds and delays of the configuration then apply.

    Serve by itself counts calls, of which a few long lists are few, and refused ones are none.
    """
    return _enough_for(WORK, context)


def ingresses_by_load(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """As many as would use seven tenths of a CPU each; the bounds and delays of the configuration then apply.

    Serve by itself counts calls, of which those that wait for the model are many and cost an ingress nothing.
    """
    return _enough_for(LOAD, context)


class CpuMeter:
    """The CPU time of this process, all threads together, between one report and the next."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, used: Callable[[], float] = time.process_time
    ) -> None:
        self._clock = clock
        self._used = used
        self._last = clock(), used()

    def share(self) -> float:
        """CPUs that were used since this was last asked, as a mean."""
        (since, before), now = self._last, (self._clock(), self._used())
        self._last = now
        return (now[1] - before) / max(now[0] - since, 1e-3)


def _enough_for(reported: str, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    shares = (context.aggregated_metrics or {}).get(reported)
    if not shares:  # none has reported yet
        return context.target_num_replicas, {}
    return max(1, math.ceil(sum(shares.values()) / _TARGET)), {}
