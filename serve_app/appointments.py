"""When refused requests were told to come back, so that they find a place when they do."""

from __future__ import annotations

import math
from collections import OrderedDict

BUNCH_S = 1.5
"""How much work may come back at one moment: Retry-After tells whole seconds, so all of a second may come at once."""

LONGEST_S = 600
_MARGIN = 1.4
"""How much later than the rate would allow they are told to come: refusing many costs the model some of its speed, and
machines have slow minutes. Newcomers take what is left."""

_EARLY_S, _LATE_S = 0.2, 10.0
"""How far from the told time a caller may come: timers fire a little early."""

_MOST = 50_000
_CAME_WEIGHT, _MISSED_WEIGHT = 0.05, 0.01
_LEAST_SHARE = 0.02


class Appointments:
    """A queue in which the callers wait at home: each is told a time at which the model will have caught up.

    What is promised is counted in seconds of work, at the model's rate when it was promised, and a little more. So each
    promise lies behind those before it, also where the rate looks faster later, and they come back no faster than they
    can be served. Who comes when told is known by its key and goes before newcomers, who would otherwise take every
    place as long as the overload lasts. Who comes too early keeps the time it has. Many never come, and are not waited
    for: only the share counts that came lately. Those who come weigh more in it than those who do not: to promise too
    much would break promises, to promise too little only makes them later.
    """

    def __init__(self) -> None:
        # a plain dict's first key is slow to find where those before it were deleted
        self._due: OrderedDict[bytes, float] = OrderedDict()
        self._promised_s = 0.0
        self._drained = 0.0
        self._share = 1.0

    def keeps(self, key: bytes, now: float) -> bool:
        """Whether this request was told to come by now; it is asked once, and then has to be told anew."""
        if self._due.get(key, math.inf) > now + _EARLY_S or self._due.pop(key) + _LATE_S < now:
            return False
        self._share += _CAME_WEIGHT * (1 - self._share)
        return True

    def book(self, key: bytes, tokens: int, wait_s: float, tokens_per_s: float, now: float) -> int:
        """Whole seconds until this request should come back, at least one.

        The model needs `wait_s` for what it has, and completes `tokens_per_s`.
        """
        due = self._due.get(key)
        if due is None or due <= now:
            pace = self._share * _MARGIN  # seconds for each one that is promised
            left_s = max(0.0, self._promised_s - (now - self._drained) / pace)
            # no more than can be told, or a long overload would be remembered for hours
            self._promised_s = min(left_s + tokens / tokens_per_s, LONGEST_S / pace)
            self._drained = now
            due = now + min(math.ceil(wait_s + self._promised_s * pace), LONGEST_S)
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
