"""Admits uncached texts to the model if it can start them within the maximum wait."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from serve_app.errors import ServiceError, TooBusy, TooLate
from serve_app.messages import Answer, Event, News, guess_tokens
from serve_app.metrics import Metrics
from serve_app.overload.retry_reservations import RetryReservations
from serve_app.settings import Settings

RESERVED_WAITS = 3
"""A request that redeems a reservation may find a queue of this many times the maximum wait."""
EXCHANGE_S = 0.4
"""Seconds between exchanges of reservations: two fit into the second after which the first callers return."""
RESERVED_FRACTION, RESERVED_SIZES = 1 / 8, 2
"""A refused request reserves at most this fraction of the maximum wait, or the work of so many requests of usual size
up to all of it. So a few large requests delay nobody else, and retry times hold if all requests are large."""
_SIZES, _MAX_MEDIANS = 64, 16
_FORGET_S, _FORGET_IDLE_S = 10.0, 60.0
"""A classifier that is silent for so long is forgotten, while others are busy and while they are not."""


@dataclass(slots=True)
class _Queue:
    """A classifier's queue as it last reported it, plus the work sent to it since."""

    ready_at: float
    tokens_per_s: float
    pass_s: float
    reported_at: float
    """When it was ready by its report."""


@dataclass(frozen=True, slots=True)
class Permit:
    """An admitted call's tokens and limits, valid until it leaves."""

    tokens: int
    """As `guess_tokens` counts them."""
    turn_s: float
    """Seconds that it adds to the wait of others at its classifier."""
    max_wait_s: float
    """The longest queue that the call may find."""
    spare_s: float
    """How long the call will wait, by the estimate, beyond the passes that are running."""


class Admission:
    """Estimates the classifiers' queues, and refuses calls that they would refuse without sending them.

    A classifier reports with each answer how long a new text would wait, and how many tokens it completes per second.
    Until its next answer, the texts sent from here are added to that wait, once for each ingress replica, and the work
    that the classifier completes is subtracted.
    """

    def __init__(self, settings: Settings, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self.reservations = RetryReservations()
        self._queues: dict[str, _Queue] = {}
        self._sizes: deque[int] = deque(maxlen=_SIZES)
        self._unanswered_s = 0.0
        self._idle_at = -math.inf

    @property
    def tokens_per_s(self) -> float:
        """Guessed tokens that all classifiers complete per second; 0 before the first answer."""
        return sum(queue.tokens_per_s for queue in self._queues.values())

    @property
    def wait_s(self) -> float:
        """Seconds that a new text would wait, as a mean over the classifiers.

        At least the time that unanswered calls take, since a model that hangs completes nothing.
        """
        now = self._clock()
        queued_s = sum(max(0.0, queue.ready_at - now) for queue in self._queues.values())
        return max(queued_s, self._unanswered_s) / max(1, len(self._queues))

    def redeem(self, key: bytes) -> float:
        """The longest queue that the request with this key may find; uses up its reservation if it has one."""
        waits = RESERVED_WAITS if self.reservations.redeem(key, self._clock()) else 1
        return min(self._settings.max_wait_s * waits, self._settings.model_timeout_s)

    def admit(self, texts: Mapping[bytes, str], max_wait_s: float, deadline: float) -> Permit:
        """Count the texts as sent to the model until they `leave`.

        A request is not refused for its size, so that a text gets the same treatment alone and in a list, and an idle
        service takes any request.

        Raises:
            TooBusy: the model's queue is longer than `max_wait_s`.
            TooLate: the first texts would be done after `deadline`, in seconds of `time.monotonic`.

        Neither has a retry time yet: `refusal` reserves one.
        """
        sizes = self._guesses(texts)
        tokens = sum(sizes)
        now = self._clock()
        # one that returned is refused by the classifier alone, or for calls that are not answered, since the estimate
        # counts what other ingress replicas may have sent
        returned = max_wait_s > self._settings.max_wait_s
        wait_s = self._unanswered_s / max(1, len(self._queues)) if returned else self.wait_s
        # how long it delays others: by one pass at most, since requests alternate, or by its longest text
        queues = self._queues.values()
        turns = [min(tokens, max(0, each.pass_s * each.tokens_per_s, *sizes)) / each.tokens_per_s for each in queues]
        turn_s = sum(turns) / max(1, len(turns))
        spare_s = max(0.0, wait_s - max((each.pass_s for each in queues), default=0.0))
        permit = Permit(tokens, turn_s, max_wait_s, spare_s)
        if wait_s > max_wait_s:
            self.reservations.refused_tokens += tokens
            raise TooBusy(0.0, deadline, max_wait_s)
        # what is done of a long list by then is cached, and not computed again in the next try
        if now + wait_s + turn_s > deadline:
            if now + turn_s <= deadline:  # otherwise no number of classifiers would help
                self.reservations.refused_tokens += tokens
            raise TooLate(0.0, deadline, max_wait_s)
        self._sizes.append(tokens)
        for queue, turn in zip(queues, turns, strict=True):
            queue.ready_at = max(queue.ready_at, now) + turn * self.reservations.replicas / len(turns)
        self._unanswered_s += turn_s
        self._metrics.outstanding_tokens.add(tokens)
        return permit

    def leave(self, permit: Permit) -> None:
        """Release the permit of a call that has an answer or needs none any more; to be called once."""
        self._unanswered_s -= permit.turn_s
        self._metrics.outstanding_tokens.add(-permit.tokens)

    def refusal(self, refused: TooBusy, texts: Mapping[bytes, str], key: bytes, deadline: float) -> TooBusy:
        """The error for a request with this key whose `texts` were refused; it has a retry time reserved for it.

        `refused` may be that of another request's call which this one had joined. The time is after its `wait_s`.
        """
        wait_s, reserved_s = max(self.wait_s, refused.wait_s), self._reserved_s(sum(self._guesses(texts)))
        return type(refused)(self.reservations.reserve(key, reserved_s, wait_s, self._clock()), deadline)

    def count_refused(self, texts: Mapping[bytes, str]) -> None:
        """Count the texts of a call as refused work, once for all requests that have joined it."""
        self.reservations.refused_tokens += sum(self._guesses(texts))

    def _guesses(self, texts: Mapping[bytes, str]) -> list[int]:
        return [guess_tokens(text, self._settings.max_tokens) for text in texts.values()]

    def _reserved_s(self, tokens: int) -> float:
        """Seconds of work that a refused request reserves."""
        max_wait_s, rate = self._settings.max_wait_s, self.tokens_per_s
        if not rate:
            return max_wait_s * RESERVED_FRACTION
        usual_s = min(RESERVED_SIZES * self._usual_tokens() / rate, max_wait_s)
        return min(tokens / rate, max(usual_s, max_wait_s * RESERVED_FRACTION))

    def _usual_tokens(self) -> float:
        """The mean of the requests that were admitted last, each weighted by its size: most work is in the larger ones.

        No few very large ones count for much. Of admitted ones alone, or callers who never return could raise it at no
        cost.
        """
        if not self._sizes:
            return 0.0
        median = sorted(self._sizes)[(len(self._sizes) - 1) // 2]
        sizes = [min(tokens, _MAX_MEDIANS * median) for tokens in self._sizes]
        return sum([tokens * tokens for tokens in sizes]) / sum(sizes)

    def learn(self, answer: Answer) -> None:
        """Update the estimate of a classifier's queue with what it reports."""
        now = self._clock()
        ready_at = now + answer.wait_s
        self._queues[answer.replica] = _Queue(ready_at, answer.tokens_per_s, answer.pass_s, ready_at)
        if answer.wait_s <= answer.pass_s:  # it gets all calls of its node, so the others' silence says nothing
            self._idle_at = now
        since = now - (_FORGET_IDLE_S if self._idle_at > now - _FORGET_S else _FORGET_S)
        self._queues = {replica: queue for replica, queue in self._queues.items() if queue.reported_at > since}
        self._metrics.drain_tokens_per_s.value = self.tokens_per_s

    def has_room_elsewhere(self, replica: str, permit: Permit) -> bool:
        """Whether another classifier than `replica` would, by the last reports, accept the call."""
        latest = self._clock() + permit.max_wait_s
        return any(name != replica and queue.ready_at <= latest for name, queue in self._queues.items())

    async def exchange_forever(self, send: Callable[[News], Awaitable[tuple[Sequence[Event], int]]]) -> None:
        """Send reservation events to the other ingress replicas, and apply theirs."""
        while True:
            with contextlib.suppress(ServiceError):
                self.reservations.apply(*await send(self.reservations.news(self._clock())), self._clock())
            await asyncio.sleep(EXCHANGE_S)
