"""Several ingress replicas and classifiers under tens times their load, by discrete events around the real parts."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from serve_app.admission import Admission, Permit
from serve_app.errors import TooBusy
from serve_app.metrics import Metrics
from serve_app.model_client import Classified, Load
from serve_app.settings import Settings
from serve_app.tickets import News, TicketRelay
from tests.fakes import IDENTITY

RATE = 3700.0
"""Tokens a second of one classifier."""

TOKENS = 250
"""Of one request."""

TIMES = 10


@dataclass
class Result:
    """What became of first and second tries, and how long those that were admitted waited, in seconds."""

    first_served: int = 0
    first_refused: int = 0
    second_served: int = 0
    second_refused: int = 0
    first_waits: list[float] = field(default_factory=list)
    retry_after: list[int] = field(default_factory=list)

    @property
    def kept(self) -> float:
        """Share of second tries that are served."""
        return self.second_served / (self.second_served + self.second_refused)

    def wait(self, quantile: float) -> float:
        """Of the first tries that were admitted."""
        return sorted(self.first_waits)[int(quantile * (len(self.first_waits) - 1))]


class Simulation:
    """Requests arrive at any ingress replica; one that is refused comes back once, as asked, to any of them."""

    def __init__(self, ingresses: int, classifiers: int, seconds: float, seed: int) -> None:
        self._rng = random.Random(seed)
        self.now = 1000.0
        self._end = self.now + seconds
        metrics = Metrics()
        self._ingresses = [Admission(Settings(), metrics, lambda: self.now) for _ in range(ingresses)]
        self._relays = [TicketRelay() for _ in range(classifiers)]
        self._free = [self.now] * classifiers
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = itertools.count()
        self.result = Result()
        self._load = TIMES * RATE * classifiers / TOKENS

    def run(self) -> Result:
        """The result, when all that arrived has its answer."""
        arrival, number = self.now, 0
        while arrival < self._end:
            arrival += self._rng.expovariate(self._load)
            number += 1
            self._at(arrival, self._first, number.to_bytes(16, "big"))
        while self._events:
            self.now, _, happen, arguments = heapq.heappop(self._events)
            happen(*arguments)
        return self.result

    def _at(self, when: float, happen: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (when, next(self._number), happen, arguments))

    def _first(self, key: bytes) -> None:
        self._arrive(key, second=False)

    def _second(self, key: bytes) -> None:
        self._arrive(key, second=True)

    def _arrive(self, key: bytes, *, second: bool) -> None:
        admission = self._rng.choice(self._ingresses)
        try:
            permit = admission.admit({key: "x" * (4 * (TOKENS - 2))}, math.inf)
            # of two at random the one where less waits, as Serve's router chooses
            chosen = min(self._rng.choices(range(len(self._free)), k=2), key=self._free.__getitem__)
            news = permit.news()
            self._relays[chosen].take(news, self.now)
            if self._wait_s(chosen) > permit.max_wait_s:
                permit.leave()
                raise permit.refused(TooBusy, self._state(chosen, news))
        except TooBusy as busy:
            if second:
                self.result.second_refused += 1
                return
            self.result.first_refused += 1
            after = int(busy.headers["Retry-After"])
            self.result.retry_after.append(after)
            if self.now + after < self._end:
                self._at(self.now + after + 0.005, self._second, key)
            return
        if second:
            self.result.second_served += 1
        else:
            self.result.first_served += 1
            self.result.first_waits.append(self._wait_s(chosen))
        self._free[chosen] = max(self._free[chosen], self.now) + TOKENS / RATE
        self._at(self._free[chosen], self._answer, permit, chosen, news)

    def _answer(self, permit: Permit, chosen: int, news: News) -> None:
        permit.answered(Classified(IDENTITY, [(0.5, 0.5)], [False], 0, 0, 0, TOKENS, self._state(chosen, news)))
        permit.leave()

    def _wait_s(self, chosen: int) -> float:
        return max(0.0, self._free[chosen] - self.now)

    def _state(self, chosen: int, news: News) -> Load:
        events, ingresses = self._relays[chosen].give(news.sender, self.now)
        return Load(f"classifier {chosen}", self._wait_s(chosen), RATE, events, ingresses)
