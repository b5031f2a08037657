"""Which uncached texts may go to the model: those that it will begin with within the longest wait."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from serve_app.errors import ServiceError, TooBusy, TooLate
from serve_app.metrics import Metrics
from serve_app.model_client import Answer, RemoteModel, guess_tokens
from serve_app.settings import Settings
from serve_app.tickets import Tickets

TICKET_WAITS = 3
"""How many times the longest wait a request may find before it that comes back as asked."""

EXCHANGE_S = 0.4
"""How often tickets are exchanged: twice this is less than a second, after which callers come back at the earliest."""

LARGEST_SHARE = 8
"""No refused request books more than this part of the longest wait, so that a large one makes nobody else late."""

_FORGET_S = 10.0


@dataclass(slots=True)
class _Queue:
    """A classifier: when a new text's turn would come, as it last said, with what was sent since."""

    ready_at: float
    tokens_per_s: float
    pass_s: float
    forget_at: float


@dataclass(frozen=True, slots=True)
class Permit:
    """What one call was admitted with, until it has left."""

    key: bytes
    tokens: int
    """As guessed."""
    turn_s: float
    """What it adds to the wait of others in the classifier that it goes to."""
    deadline: float
    max_wait_s: float
    """How long a queue the call may find."""


class Admission:
    """Refuses what the classifiers would refuse, without asking them.

    A classifier refuses texts that would wait too long, and says with each answer how long a new one would wait, and
    how many tokens a second it completes. In between, what is sent from here is added, and as much for each other
    ingress replica, and what the classifier completes is taken off. No request counts for more than a pass, since the
    classifier serves requests by turns.
    """

    def __init__(self, settings: Settings, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self.tickets = Tickets()
        self._queues: dict[str, _Queue] = {}
        self._outstanding = 0
        self._unanswered_s = 0.0

    @property
    def tokens_per_s(self) -> float:
        """What the classifiers complete together; 0 before the first has answered."""
        return sum(queue.tokens_per_s for queue in self._queues.values())

    @property
    def wait_s(self) -> float:
        """How long a new text would wait for its turn, in the mean of the classifiers.

        No less than for what has no answer yet: a model that hangs completes nothing.
        """
        now = self._clock()
        queued_s = sum(max(0.0, queue.ready_at - now) for queue in self._queues.values())
        return max(queued_s, self._unanswered_s) / max(1, len(self._queues))

    def admit(self, texts: Mapping[bytes, str], deadline: float) -> Permit:
        """Count the texts as sent to the model until they `leave`.

        The size of a request does not decide, so that a text gets the same treatment alone and in a list, and a
        service without work takes any request.

        Raises:
            TooBusy: what waits for the model takes longer than the longest wait.
            TooLate: the answer cannot be there by `deadline`, in seconds of `time.monotonic`.
        """
        key = next(iter(texts))
        tokens = sum([guess_tokens(text, self._settings.max_tokens) for text in texts.values()])
        now, wait_s, rate = self._clock(), self.wait_s, self.tokens_per_s
        max_wait_s = self._settings.max_wait_s * (TICKET_WAITS if self.tickets.redeem(key, now) else 1)
        # how long it keeps others waiting: a pass at most, since requests take turns
        turns = [min(tokens / queue.tokens_per_s, queue.pass_s) for queue in self._queues.values()]
        permit = Permit(key, tokens, sum(turns) / max(1, len(turns)), deadline, max_wait_s)
        if wait_s > max_wait_s:
            raise self.refusal(permit, TooBusy)
        if rate and now + wait_s + tokens / rate > deadline:
            raise self.refusal(permit, TooLate)
        for queue, turn_s in zip(self._queues.values(), turns, strict=True):
            queue.ready_at = max(queue.ready_at, now) + turn_s * self.tickets.replicas / len(turns)
        self._count(permit, 1)
        return permit

    def leave(self, permit: Permit) -> None:
        """What was admitted has an answer, or needs none any more; to be called once."""
        self._count(permit, -1)

    def _count(self, permit: Permit, sign: int) -> None:
        self._unanswered_s += sign * permit.turn_s
        self._outstanding += sign * permit.tokens
        self._metrics.outstanding_tokens.value = self._outstanding

    def refusal(self, permit: Permit, kind: type[TooBusy], busy_s: float = 0.0, key: bytes | None = None) -> TooBusy:
        """The error, from the text with this key on, with the time to come back: not before `busy_s` are over."""
        key, tokens, wait_s = key or permit.key, permit.tokens, max(self.wait_s, busy_s)
        work_s = min(tokens / (self.tokens_per_s or 1.0), self._settings.max_wait_s / LARGEST_SHARE)
        return kind(self.tickets.issue(key, tokens, work_s, wait_s, self._clock()), permit.deadline)

    def learn(self, answer: Answer) -> None:
        """Take what a classifier says of its queue for what it is."""
        now = self._clock()
        ready_at = now + answer.wait_s
        self._queues[answer.replica] = _Queue(ready_at, answer.tokens_per_s, answer.pass_s, ready_at + _FORGET_S)
        self._queues = {replica: queue for replica, queue in self._queues.items() if queue.forget_at > now}
        self._metrics.drain_tokens_per_s.value = self.tokens_per_s

    def has_room_elsewhere(self, replica: str, permit: Permit) -> bool:
        """Whether another classifier than this one, as far as is known, would not refuse the call."""
        latest = self._clock() + permit.max_wait_s
        return any(name != replica and queue.ready_at <= latest for name, queue in self._queues.items())

    async def exchange_forever(self, model: RemoteModel) -> None:
        """Tell the other ingress replicas of tickets, and hear of theirs."""
        while True:
            await asyncio.sleep(EXCHANGE_S)
            with contextlib.suppress(ServiceError):
                self.tickets.hear(*await model.exchange(self.tickets.news(self._clock())), self._clock())
