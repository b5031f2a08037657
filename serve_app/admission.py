"""Which uncached texts may go to the model: those that it will begin with within the longest wait."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from serve_app.errors import TooBusy, TooLate
from serve_app.metrics import Metrics
from serve_app.model_client import Classified, Load
from serve_app.passes import LARGEST_SHARE
from serve_app.settings import Settings
from serve_app.tickets import News, Tickets

TICKET_WAITS = 3
"""How many times the longest wait a request may find before it that comes back as asked."""

_SPECIAL_TOKENS = 2
_USUAL_LIMIT = 512  # of nearly every DistilBERT
_FIRST_GUESS, _LEAST_GUESS, _LARGEST_GUESS = 0.25, 0.125, 1.0
_GUESS_BYTES = 100_000
_FORGET_S = 10.0


@dataclass(slots=True)
class _Queue:
    """What waits in one classifier, as it last said, with what was sent since."""

    wait_s: float
    tokens_per_s: float
    at: float
    heard: float


class Admission:
    """Refuses what the classifiers would refuse, without asking them.

    A classifier refuses texts that would wait too long, and says with each answer how long a new one would wait, and
    how many tokens a second it completes. In between, what is sent from here is added, times the number of ingress
    replicas, and what the classifier completes is taken off. Tokens are guessed from UTF-8 bytes, at the ratio of the
    model's answers: to tokenize a text that is refused would cost a hundred times as much. No request counts for more
    than a part of the longest wait, since the classifier serves requests by turns.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_wait_s = settings.max_wait_s
        self._pass_tokens = settings.batch_tokens
        self._max_tokens = settings.max_tokens or _USUAL_LIMIT
        self._metrics = metrics
        self._clock = clock
        self._tickets = Tickets()
        self._name = uuid.uuid4().hex
        self._queues: dict[str, _Queue] = {}
        self._outstanding = self._refused = 0
        self._unanswered = 0.0
        self._tokens, self._bytes = _FIRST_GUESS * _GUESS_BYTES, float(_GUESS_BYTES)

    @property
    def tokens_per_s(self) -> float:
        """What the classifiers complete together; 0 before the first has answered."""
        return sum(queue.tokens_per_s for queue in self._queues.values())

    @property
    def wait_s(self) -> float:
        """How long a new text would wait for its turn, in the mean of the classifiers.

        No less than for what has no answer yet: a model that hangs completes nothing.
        """
        if not self._queues:
            return 0.0
        now = self._clock()
        queued_s = sum(max(0.0, queue.wait_s - (now - queue.at)) for queue in self._queues.values())
        return max(queued_s / len(self._queues), self._unanswered / self.tokens_per_s)

    def admit(self, texts: Mapping[bytes, str], deadline: float) -> Permit:
        """Count the texts as sent to the model until they leave their permit.

        The size of a request does not decide, so that a text gets the same treatment alone and in a list, and a
        service without work takes any request.

        Raises:
            TooBusy: what waits for the model takes longer than the longest wait.
            TooLate: the answer cannot be there by `deadline`, in seconds of `time.monotonic`.
        """
        size = sum([len(text.encode()) for text in texts.values()])
        ratio = min(max(self._tokens / self._bytes, _LEAST_GUESS), _LARGEST_GUESS)
        tokens = min(_SPECIAL_TOKENS * len(texts) + int(size * ratio), self._max_tokens * len(texts))
        key = next(iter(texts))
        now, wait_s, rate = self._clock(), self.wait_s, self.tokens_per_s
        longest_s = self._max_wait_s * (TICKET_WAITS if self._tickets.redeem(key, now) else 1)
        if wait_s > longest_s:
            raise self.refusal(TooBusy, key, tokens, deadline)
        if rate and now + wait_s + tokens / rate > deadline:
            raise self.refusal(TooLate, key, tokens, deadline)
        counted = self._counted(tokens)
        each = counted * self._tickets.replicas / max(1, len(self._queues))
        for queue in self._queues.values():
            queue.wait_s = max(0.0, queue.wait_s - (now - queue.at)) + each / queue.tokens_per_s
            queue.at = now
        self._count(tokens, counted)
        return Permit(self, key, len(texts), size, tokens, counted, deadline, longest_s)

    def refusal(self, kind: type[TooBusy], key: bytes, tokens: int, deadline: float) -> TooBusy:
        """The error, with the time to come back."""
        self._refused += tokens
        work_s = self._counted(tokens) / (self.tokens_per_s or self._pass_tokens / self._max_wait_s)
        return kind(self._tickets.issue(key, work_s, self.wait_s, self._clock()), deadline)

    def learn(self, load: Load) -> None:
        """Take what a classifier says of its queue for what it is."""
        now = self._clock()
        self._tickets.merge(load.events, now)
        self._tickets.replicas = load.ingresses
        self._queues[load.replica] = _Queue(load.wait_s, load.tokens_per_s, now, now)
        for replica, queue in list(self._queues.items()):
            if queue.heard + _FORGET_S + queue.wait_s < now:
                del self._queues[replica]
        self._metrics.drain_tokens_per_s.value = self.tokens_per_s

    def news(self) -> News:
        """What happened to tickets here and how much was refused since this was last asked, for the classifiers."""
        refused, self._refused = self._refused, 0
        return News(self._name, self._tickets.take_events(self._clock()), refused)

    def learn_length(self, tokens: int, size: int) -> None:
        """Learn how many tokens so many bytes were; few bytes tell little."""
        kept = max(0.0, 1 - size / _GUESS_BYTES)
        self._tokens, self._bytes = kept * self._tokens + tokens, kept * self._bytes + size

    def leave(self, tokens: int, counted: float) -> None:
        """Tokens that were admitted, and counted for so many, have an answer, or need none any more."""
        self._count(-tokens, -counted)

    def _counted(self, tokens: int) -> float:
        """What a request counts for: no more than its part of the longest wait."""
        part = self.tokens_per_s / max(1, len(self._queues)) * self._max_wait_s / LARGEST_SHARE
        return min(tokens, max(self._pass_tokens, part))

    def _count(self, tokens: int, counted: float) -> None:
        self._outstanding += tokens
        self._unanswered += counted
        self._metrics.outstanding_tokens.value = self._outstanding


@dataclass(frozen=True, slots=True)
class Permit:
    """What one call has with the model, until it leaves."""

    _admission: Admission
    _key: bytes
    _texts: int
    _size: int
    _tokens: int
    _counted: float
    _deadline: float
    max_wait_s: float
    """How long a queue the call may find."""

    def news(self) -> News:
        """What to send along with the call."""
        return self._admission.news()

    def answered(self, answer: Classified) -> None:
        """Learn from the model's answer."""
        self._admission.learn(answer.load)
        if not any(answer.truncated) and all(answer.scores):
            self._admission.learn_length(answer.tokens - _SPECIAL_TOKENS * self._texts, self._size)

    def refused(self, kind: type[TooBusy], load: Load | None = None, key: bytes | None = None) -> TooBusy:
        """The refusal by the model itself, from the text with this key on, with the time to come back."""
        if load is not None:
            self._admission.learn(load)
        return self._admission.refusal(kind, key or self._key, self._tokens, self._deadline)

    def leave(self) -> None:
        """Make room; to be called once."""
        self._admission.leave(self._tokens, self._counted)
