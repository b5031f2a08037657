"""Retry times for refused callers, so that they return no faster than the model can serve them."""

from __future__ import annotations

import heapq
import math
import uuid
from collections.abc import Sequence
from itertools import islice

from serve_app.messages import Event, News

MAX_RETRY_S = 600
_MARGIN = 1.4
"""Retry times are this much later than the rate allows: refusals cost CPU time, and machines have slow minutes."""
_EARLY_S, _LATE_S = 0.2, 10.0
"""How much before and after its time a caller may return: timers fire a little early."""
_SILENT_S = 3.0
"""An ingress replica that has not called the relay for so long has ended."""
SEND_ALL = b""
"""The key of an event that asks a replica to send all its times that are not due yet."""
_MAX_RESERVATIONS, _MAX_EVENTS = 50_000, 5_000
_CAME_WEIGHT, _MISSED_WEIGHT = 0.05, 0.01
_MIN_SHARE = 0.02


class RetryReservations:
    """The retry times of refused requests, whichever ingress replica refused them.

    They are paced by the model's rate and by the share of callers that returned lately. In that share a return weighs
    more than a miss: too many reservations could not be kept, while too few only make callers wait longer.
    """

    def __init__(self) -> None:
        self.replicas = 1
        """Ingress replicas that issue reservations; each may reserve an equal part of the model's rate."""
        self._name = uuid.uuid4().hex
        self.refused_tokens = 0
        """Tokens that were refused since the last news, which report them: they are demand too."""
        self._due: dict[bytes, float] = {}
        self._by_due: list[tuple[float, bytes]] = []
        """A heap of them, and of those that were used up or replaced since."""
        self._events: dict[bytes, float | None] = {}
        self._promised_s = self._promised_at = 0.0
        """Seconds of work that all replicas have promised, by what this one has; it is less by the time since then."""
        self._heard = False
        self._share = 1.0

    def redeem(self, key: bytes, now: float) -> bool:
        """Use up the request's reservation; False if it has none that is due."""
        if came := self._came(key, now):
            self._events[key] = None
        return came

    def reserve(self, key: bytes, work_s: float, wait_s: float, now: float) -> int:
        """Reserve a retry time for a request of `work_s`; whole seconds until then, at least one.

        It comes after the model's queue of `wait_s`. A request that retries early keeps its reservation.
        """
        due = self._due.get(key, 0.0)
        if due <= now:
            pace = self._share * _MARGIN  # seconds for each second of work
            left_s = max(0.0, self._promised_s - (now - self._promised_at) / pace)
            # bounded like the retry time; otherwise a long overload would lengthen retry times for hours afterwards
            self._promised_s, self._promised_at = min(left_s + work_s * self.replicas, MAX_RETRY_S / pace), now
            due = now + min(max(1, math.ceil(wait_s + self._promised_s * pace)), MAX_RETRY_S)
            self._add(key, due, now)
            if len(self._events) < _MAX_RESERVATIONS:
                self._events[key] = due
        return min(max(1, math.ceil(due - now)), MAX_RETRY_S)

    def news(self, now: float) -> News:
        """The oldest reservation events that are not sent yet, and the tokens refused since the last call."""
        dues = [(key, self._events.pop(key)) for key in list(islice(self._events, _MAX_EVENTS))]
        events = [(key, None if due is None else due - now) for key, due in dues]
        refused, self.refused_tokens = self.refused_tokens, 0
        return self._name, events, refused

    def apply(self, events: Sequence[Event], replicas: int, now: float) -> None:
        """Apply the other replicas' events; `replicas` counts them and this one.

        One that starts continues after the latest time that it hears of first.
        """
        if (SEND_ALL, None) in events:
            undue = sorted((due, key) for key, due in self._due.items() if due > now)
            self._events |= {key: due for due, key in undue}
            replicas = max(self.replicas, replicas)  # others may not have called a new relay yet
        self.replicas = replicas
        latest_s = max((due_s for _, due_s in events if due_s is not None), default=0.0)
        if latest_s and not self._heard:
            self._heard = True
            self._promised_s, self._promised_at = max(self._promised_s, latest_s / (self._share * _MARGIN)), now
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
        for _ in range(2):  # two per call, since each call adds one
            if self._by_due and self._by_due[0][0] + _LATE_S < now:
                was_due, oldest = heapq.heappop(self._by_due)
                if self._due.get(oldest) == was_due:
                    del self._due[oldest]
                    self._share = max(_MIN_SHARE, self._share * (1 - _MISSED_WEIGHT))
        if len(self._due) < _MAX_RESERVATIONS:
            self._due[key] = due
            heapq.heappush(self._by_due, (due, key))


class ReservationRelay:
    """Passes reservation events between ingress replicas, in the one classifier replica that all of them call.

    It keeps only what is not fetched yet. When a sender is new to it, all replicas send all their times again: the
    sender has just started, or another classifier has passed the events on until now.
    """

    def __init__(self) -> None:
        self._unsent: dict[str, tuple[float, dict[bytes, float | None]]] = {}
        """When each replica called last, and the events since then."""

    def exchange(self, sender: str, events: Sequence[Event], now: float) -> tuple[list[Event], int]:
        """The other replicas' events since the sender's last call, and the number of ingress replicas."""
        timed = {key: None if due_s is None else now + due_s for key, due_s in events}
        others = {name: each for name, each in self._unsent.items() if each[0] > now - _SILENT_S}
        if sender not in others:
            timed[SEND_ALL] = None
        _, mine = others.pop(sender, (now, {SEND_ALL: None}))
        for _, unsent in others.values():
            if len(unsent) < _MAX_RESERVATIONS:
                unsent.update(timed)
        self._unsent = others | {sender: (now, {})}
        return [(key, None if due is None else due - now) for key, due in mine.items()], len(self._unsent)
