"""Retry times for refused callers, so that they return no faster than the model can serve them."""

from __future__ import annotations

import math
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from itertools import islice

from serve_app.messages import Event, News

LONGEST_S = 600
_MARGIN = 1.4
"""How much later than the rate allows callers are asked back: refusals cost speed, and machines have slow minutes."""
_EARLY_S, _LATE_S = 0.2, 10.0
"""How far from its time a caller may come: timers fire a little early."""
_MAX_RESERVATIONS, _MAX_EVENTS = 50_000, 5_000
_CAME_WEIGHT, _MISSED_WEIGHT = 0.05, 0.01
_MIN_SHARE = 0.02


class RetryReservations:
    """When each refused request is due, in whichever ingress replica it was refused.

    Promises are paced by the model's rate. Only the share of callers counts that returned lately. Those who return
    weigh more in it: to promise too much would break promises, to promise too little only makes them later.
    """

    def __init__(self) -> None:
        self.replicas = 1
        """Ingress replicas that issue reservations: each promises its part of the model's rate."""
        self._name = uuid.uuid4().hex
        self._refused = 0
        # a plain dict's first key is slow to find when those before it were deleted
        self._due: OrderedDict[bytes, float] = OrderedDict()
        self._events: deque[Event] = deque(maxlen=_MAX_EVENTS)
        self._promised_s = self._promised_at = 0.0
        self._share = 1.0

    def redeem(self, key: bytes, now: float) -> bool:
        """Whether this request is due; the reservation is used up by that."""
        if came := self._came(key, now):
            self._events.append((key, None))
        return came

    def reserve(self, key: bytes, tokens: int, work_s: float, wait_s: float, now: float) -> int:
        """Whole seconds until this request, which is so much work, should come back; at least one.

        The model needs `wait_s` for what it has. A request that has a reservation keeps it.
        """
        self._refused += tokens
        due = self._due.get(key, 0.0)
        if due <= now:
            pace = self._share * _MARGIN * self.replicas  # seconds for each second of work
            left_s = max(0.0, self._promised_s - (now - self._promised_at) / pace)
            # no more than can be sent, or a long overload would be remembered for hours
            self._promised_s, self._promised_at = min(left_s + work_s, LONGEST_S / pace), now
            due = now + min(max(1, math.ceil(wait_s + self._promised_s * pace)), LONGEST_S)
            self._add(key, due, now)
            self._events.append((key, due))
        return max(1, math.ceil(due - now))

    def news(self, now: float) -> News:
        """What happened here since the last call."""
        events = [(key, None if due is None else due - now) for key, due in self._events]
        self._events.clear()
        refused, self._refused = self._refused, 0
        return self._name, events, refused

    def hear(self, events: Iterable[Event], replicas: int, now: float) -> None:
        """Learn what happened in the other replicas, and how many there are with this one."""
        self.replicas = replicas
        for key, due_s in events:
            if due_s is None:
                self._came(key, now)
            else:
                self._add(key, now + due_s, now)

    def _came(self, key: bytes, now: float) -> bool:
        if self._due.get(key, math.inf) > now + _EARLY_S or self._due.pop(key) + _LATE_S < now:
            return False
        self._share += _CAME_WEIGHT * (1 - self._share)
        return True

    def _add(self, key: bytes, due: float, now: float) -> None:
        self._due.pop(key, None)
        self._due[key] = due
        for oldest in list(islice(self._due, 2)):  # more than one a call, since one a call comes in
            missed = self._due[oldest] + _LATE_S < now
            if missed:
                self._share = max(_MIN_SHARE, self._share * (1 - _MISSED_WEIGHT))
            if missed or len(self._due) > _MAX_RESERVATIONS:
                del self._due[oldest]


class ReservationRelay:
    """Sends each ingress replica what the others have sent, from the one classifier that all of them ask."""

    def __init__(self) -> None:
        self._heard_at: dict[str, float] = {}
        self._unsent: dict[str, deque[Event]] = {}

    def exchange(self, sender: str, events: Sequence[Event], now: float) -> tuple[list[Event], int]:
        """What the others have sent since this replica last asked, and how many replicas there are."""
        self._heard_at = {name: at for name, at in self._heard_at.items() if at > now - _LATE_S} | {sender: now}
        self._unsent = {name: self._unsent.get(name, deque(maxlen=_MAX_EVENTS)) for name in self._heard_at}
        mine = [(key, None if due is None else due - now) for key, due in self._unsent.pop(sender)]
        for unsent in self._unsent.values():
            unsent.extend((key, None if due_s is None else now + due_s) for key, due_s in events)
        return mine, len(self._heard_at)
