"""The requests that wait for passes: their turns, whether one more is admitted, and which one ends early."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from model.labels import Scores
from serve_app.settings import Settings

_NEWCOMERS_SHARE = 1 / 3
"""How much of its time-out others may take of a new list; they may take all of it if it returned when told."""


@dataclass(eq=False, slots=True)
class Request:
    """One caller's texts: their scores, None until computed, and the work that they still need."""

    scores: list[Scores | None]
    work: int
    """Tokens that wait or run, and the guessed tokens of texts that are not tokenized yet."""
    max_wait_s: float = math.inf
    """Infinite for an urgent request."""
    timeout_s: float = math.inf
    began: float = field(default_factory=time.perf_counter)
    queue_ms: float = 0.0
    """Time from arrival until the last pass began."""
    model_ms: float = 0.0
    running: int = 0
    waiting: deque[tuple[int, Sequence[int]]] = field(default_factory=deque)
    error: BaseException | None = None
    busy_s: float = 0.0
    """Above 0 if it was refused: the seconds of others' work."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    counted: tuple[int, int] = (0, 0)
    """Its part of the queue's sums."""


class Queue:
    """Requests in the order of their turns, and their work in tokens and seconds.

    The sums are kept, since adding up thousands of requests for each one would take the event loop's time.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.perf_counter) -> None:
        self._pass_tokens = settings.batch_tokens
        self._max_wait_s = settings.max_wait_s
        self._clock = clock
        self._requests: OrderedDict[Request, None] = OrderedDict()
        self._lists: dict[Request, None] = {}
        """Those with more work than a pass, in order of arrival."""
        self._turns = 0
        self.tokens = 0
        """Tokens that wait or run."""
        self.tokens_per_s = 0.0

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests)

    @property
    def wait_s(self) -> float:
        """Seconds until the pass of a new text would begin: all others have their next pass before."""
        return self._turns / self.tokens_per_s

    def admit(self, request: Request) -> bool:
        """Whether the request would wait no longer than its `max_wait_s`; otherwise sets its `busy_s`.

        A list must also finish within its time-out beside the others, and they beside it. If they have little work it
        starts anyway, so that even the largest is answered in a few tries. So does one at a time that returned when
        told, or shorter lists would keep it out for ever.
        """
        wait_s = self.wait_s
        returned = self._returned(request)
        if request.work > self._pass_tokens and not (returned and not any(map(self._returned, self._lists))):
            others = self._tokens_until_done()
            ahead = self.tokens - sum(max(0, other.work - request.work) for other in others)
            limit = request.timeout_s * self.tokens_per_s
            late = ahead > limit * (1 if returned else _NEWCOMERS_SHARE) or ahead + request.work > limit
            if late or any(
                other.work <= self._left(other) < done + min(other.work, request.work)
                for other, done in others.items()
                if self._returned(other) or not returned
            ):
                lists = sum(min(other.work, max(0.0, self._left(other))) for other in others)
                wait_s = (self.tokens - sum(other.work for other in others) + lists) / self.tokens_per_s
        request.busy_s = wait_s if wait_s > request.max_wait_s else 0.0
        return not request.busy_s

    @contextmanager
    def track(self, request: Request) -> Iterator[None]:
        """Count the request, and run the texts added to it, while the block runs; then drop those still waiting."""
        self._requests[request] = None
        if request.max_wait_s == math.inf:
            self._requests.move_to_end(request, last=False)
        self.recount(request)
        try:
            yield
        finally:
            self._requests.pop(request, None)
            self.recount(request)
            request.waiting.clear()

    def recount(self, request: Request, *, ran: bool = False) -> None:
        """Update the sums after the request's work has changed or it has left; after a pass it goes to the end."""
        work = request.work if request in self._requests else 0
        turn = min(work, max(self._pass_tokens, len(request.waiting[0][1]) if request.waiting else 0))
        self.tokens += work - request.counted[0]
        self._turns += turn - request.counted[1]
        request.counted = work, turn
        if work > self._pass_tokens:
            self._lists[request] = None
        else:
            self._lists.pop(request, None)
        if ran and work:
            self._requests.move_to_end(request)

    def _returned(self, request: Request) -> bool:
        """Whether the request has a retry time, so that it may wait longer than a new one."""
        return request.max_wait_s > self._max_wait_s

    def _tokens_until_done(self) -> dict[Request, int]:
        """For each list the tokens until it is done: since all take turns, others delay it by its own work at most."""
        lists = sorted(self._lists, key=lambda request: request.work)
        done: dict[Request, int] = {}
        ahead = self.tokens - sum(request.work for request in lists)
        for larger, request in zip(range(len(lists) - 1, -1, -1), lists, strict=True):
            ahead += request.work
            done[request] = ahead + larger * request.work
        return done

    def _left(self, request: Request) -> float:
        """Tokens until the request's time-out."""
        return (request.began + request.timeout_s - self._clock()) * self.tokens_per_s

    def end_newest_late(self) -> None:
        """End the newest list that is late, or without which an older one would not be; its caller gets what is done.

        Lists are admitted by guessed tokens and an earlier rate.
        """
        if self.tokens <= min(map(self._left, self._lists), default=math.inf):
            return
        done = self._tokens_until_done()
        late = {each: done[each] - left for each in self._lists if each.work <= (left := self._left(each)) < done[each]}
        for request in reversed(self._lists):
            others_s = (done[request] - request.work) / self.tokens_per_s
            if others_s <= request.max_wait_s or self._returned(request):
                continue
            if done[request] > self._left(request) or any(
                each.began < request.began and excess <= min(each.work, request.work) for each, excess in late.items()
            ):
                request.busy_s = others_s
                request.ended.set()
                del self._requests[request]
                self.recount(request)
                return
