"""Which new texts may go to the model: as many tokens as it will have finished within the longest wait."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from serve_app.appointments import BUNCH_S, Appointments
from serve_app.errors import TooBusy, TooLate
from serve_app.metrics import Metrics
from serve_app.model_client import Classified
from serve_app.settings import Settings

_SPECIAL_TOKENS = 2
_USUAL_LIMIT = 512  # of nearly every DistilBERT
_FIRST_GUESS = 0.25
_GUESS_WEIGHT = 0.05


class Admission:
    """Bounds the tokens that this ingress replica has with the model at any time.

    The bound is what the model completes for this replica within `max_wait_s`, and one batch. The rate is not a
    configured one: a call during which n tokens were outstanding and that ends after t seconds has seen n / t
    (Little's law), however many model replicas there are, and however much other ingress replicas ask of them. The one
    batch on top keeps the model busy, and makes the shares of several ingress replicas equal in the end: the smaller a
    share, the faster it grows by it (as with FAST TCP's window).

    Tokens are guessed from UTF-8 bytes, at the ratio that the model's answers tell: tokenizing here would cost
    a refused text a hundred times as much, and a wrong guess only shows as another rate.
    """

    def __init__(self, settings: Settings, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_wait_s = settings.max_wait_s
        self._batch_tokens = settings.batch_tokens
        self._max_tokens = settings.max_tokens or _USUAL_LIMIT
        self._metrics = metrics
        self._clock = clock
        self._outstanding = 0
        self._token_seconds = 0.0
        self._counted = clock()
        self._tokens_per_s: float | None = None
        self._tokens_per_byte = _FIRST_GUESS
        self._appointments = Appointments()

    @property
    def bound(self) -> float:
        """Outstanding tokens at which new ones are refused; without end before the model has first answered."""
        return math.inf if self._tokens_per_s is None else self._tokens_per_s * self._max_wait_s + self._batch_tokens

    def admit(self, texts: Mapping[bytes, str], deadline: float) -> Place:
        """Count the texts as outstanding until they leave their place.

        The size of a request does not decide, so that a text gets the same treatment alone and in a list, and a
        service without work takes any request.

        Raises:
            TooBusy: too many tokens are outstanding.
            TooLate: the answer cannot be there by `deadline`, in seconds of `time.monotonic`.
        """
        lengths = [len(text.encode()) for text in texts.values()]
        tokens = sum([min(self._max_tokens, _SPECIAL_TOKENS + int(size * self._tokens_per_byte)) for size in lengths])
        key = next(iter(texts))
        now = self._clock()
        room = self.bound
        if self._appointments.keeps(key, now):
            room += (self._tokens_per_s or 0) * BUNCH_S
        if self._outstanding >= room:
            raise self.refusal(TooBusy, 0, key, tokens, deadline)
        if self._tokens_per_s and now + (self._outstanding + tokens) / self._tokens_per_s > deadline:
            raise self.refusal(TooLate, 0, key, tokens, deadline)
        place = Place(self, key, lengths, tokens, deadline, now, self._token_seconds_until(now))
        self.count(tokens)
        return place

    def count(self, tokens: int) -> None:
        """So many tokens more are outstanding, or fewer."""
        self._token_seconds_until(self._clock())
        self._outstanding += tokens
        self._metrics.outstanding_tokens.value = self._outstanding

    def learn_rate(self, tokens: int, began: float, token_seconds: float, reported: float) -> None:
        """Learn from a call of so many tokens that has just ended; `token_seconds` is the sum when it began."""
        if self._tokens_per_s is None:
            self._tokens_per_s = self._metrics.drain_tokens_per_s.value = reported
        now = self._clock()
        took = max(now - began, 1e-6)
        # their mean, and not what the call found: many calls find the few that a batch has left when it ended
        outstanding = (self._token_seconds_until(now) - token_seconds) / took
        if outstanding < self._batch_tokens:
            return  # the model was not busy, so this tells of the demand and not of the model
        # an outage is no rate: one answer may not say less than half
        seen = max(outstanding / took, self._tokens_per_s / 2)
        # by tokens, and not by the time since the last answer: those of a batch come all at once, and all count
        weight = 1 - math.exp(-tokens / (self._tokens_per_s * self._max_wait_s))
        # the mean of the time for a token, which is 1 / rate: a mean of rates would lean to the calls that were short
        self._tokens_per_s = 1 / (weight / seen + (1 - weight) / self._tokens_per_s)
        self._metrics.drain_tokens_per_s.value = self._tokens_per_s

    def learn_length(self, tokens: int, size: int) -> None:
        """Learn how many tokens so many bytes were."""
        self._tokens_per_byte += _GUESS_WEIGHT * (tokens / max(1, size) - self._tokens_per_byte)

    def refusal(self, kind: type[TooBusy], wait_s: float, key: bytes, tokens: int, deadline: float) -> TooBusy:
        """The error with the time to come back, no earlier than the one it has."""
        tokens_per_s = self._tokens_per_s or self._batch_tokens / self._max_wait_s
        wait_s = max(wait_s, self._outstanding / tokens_per_s)
        return kind(self._appointments.book(key, tokens, wait_s, tokens_per_s, self._clock()), deadline)

    def _token_seconds_until(self, now: float) -> float:
        """The sum of the tokens outstanding over all seconds until now."""
        self._token_seconds += self._outstanding * (now - self._counted)
        self._counted = now
        return self._token_seconds


@dataclass(frozen=True, slots=True)
class Place:
    """What one call has with the model, until it leaves."""

    _admission: Admission
    _key: bytes
    _lengths: Sequence[int]
    _tokens: int
    _deadline: float
    _began: float
    _token_seconds: float

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def answered(self, answer: Classified) -> None:
        """Learn from the model's answer."""
        self._admission.learn_rate(self._tokens, self._began, self._token_seconds, answer.tokens_per_s)
        if not any(answer.truncated):
            self._admission.learn_length(answer.tokens - _SPECIAL_TOKENS * len(self._lengths), sum(self._lengths))

    def refused(self, busy: TooBusy) -> TooBusy:
        """The refusal by the model, which knows of its own queue only, with the time to come back."""
        return self._admission.refusal(type(busy), busy.wait_s, self._key, self._tokens, self._deadline)

    def leave(self) -> None:
        """Make room; to be called once."""
        self._admission.count(-self._tokens)
