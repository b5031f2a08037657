"""When refused requests were told to come back, so that they find a place when they do."""

from __future__ import annotations

import math
import random
from collections import OrderedDict

BUNCH_S = 1.5
"""How much work may come back at one moment: Retry-After tells whole seconds, so all of a second may come at once."""

LONGEST_S = 600
_SPREAD = (1.05, 1.2)
_LATE_S = 10.0
_MOST = 50_000
_CAME_WEIGHT, _MISSED_WEIGHT = 0.05, 0.01
_LEAST_SHARE = 0.02


class Appointments:
    """A queue in which the callers wait at home: each is told a time at which the model will have caught up.

    All that is promised drains at the model's rate, so each promise lies behind those before it, and they come
    back no faster than they can be served. Who comes when told is known by its key and goes before newcomers, who would
    otherwise take every place as long as the overload lasts. Who comes too early keeps the time it has. Many never
    come, and are not waited for: only the share counts that came lately. Those who come weigh more in it than those who
    do not: to promise too much would break promises, to promise too little only makes them later.
    """

    def __init__(self) -> None:
        # a plain dict's first key is slow to find where those before it were deleted
        self._due: OrderedDict[bytes, float] = OrderedDict()
        self._promised = 0.0
        self._drained = 0.0
        self._share = 1.0

    def keeps(self, key: bytes, now: float) -> bool:
        """Whether this request was told to come by now; it is asked once, and then has to be told anew."""
        if self._due.get(key, math.inf) > now or self._due.pop(key) + _LATE_S < now:
            return False
        self._share += _CAME_WEIGHT * (1 - self._share)
        return True

    def book(self, key: bytes, tokens: int, wait_s: float, tokens_per_s: float, now: float) -> int:
        """Whole seconds until this request should come back, at least one.

        The model needs `wait_s` for what it has, and completes `tokens_per_s`.
        """
        due = self._due.get(key)
        if due is None or due <= now:
            expected_per_s = tokens_per_s / self._share
            self._promised = max(0.0, self._promised - (now - self._drained) * expected_per_s) + tokens
            self._drained = now
            wait_s = (wait_s + self._promised / expected_per_s) * random.uniform(*_SPREAD)  # noqa: S311
            due = now + min(math.ceil(wait_s), LONGEST_S)
            self._due.pop(key, None)
            self._due[key] = due
            self._forget(now)
        return max(1, math.ceil(due - now))

    def _forget(self, now: float) -> None:
        """Drop the oldest that did not come, or is one too many; more than one a call, since one a call comes in."""
        for _ in range(2):
            oldest = next(iter(self._due))
            missed = self._due[oldest] + _LATE_S < now
            if missed:
                self._share = max(_LEAST_SHARE, self._share * (1 - _MISSED_WEIGHT))
            if missed or len(self._due) > _MOST:
                del self._due[oldest]
