"""How many classifiers there should be, by the work that there is for them: what serve_config.yaml names as policy."""

from __future__ import annotations

import math
from typing import Any

from ray.serve.config import AutoscalingContext

WORK = "classifiers_of_work"
"""What each classifier reports: the work that came to it, refused work included, as a share of what it can do."""

_TARGET = 0.7


def classifiers_by_work(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """As many as would be busy for seven tenths of the time; the bounds and delays of the configuration then apply.

    Serve by itself counts calls, of which a few long lists are few, and refused ones are none.
    """
    work = (context.aggregated_metrics or {}).get(WORK)
    if not work:  # none has reported yet
        return context.target_num_replicas, {}
    return max(1, math.ceil(sum(work.values()) / _TARGET)), {}
