"""Which new texts may go to the model: as many tokens as it will have finished within the longest wait."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from serve_app.appointments import BUNCH_S, Appointments
from serve_app.errors import TooBusy, TooLate
from serve_app.metrics import Metrics
from serve_app.model_client import Classified
from serve_app.settings import Settings

_SPECIAL_TOKENS = 2
_FIRST_GUESS = 0.25
_GUESS_WEIGHT = 0.05


class Admission:
    """Bounds the tokens that this ingress replica has with the model at any time.

    The bound is what the model completes for this replica within `max_wait_s`, and one batch. The rate is not a
    configured one: a call that finds n tokens before it and ends after t seconds has seen n / t (Little's law),
    however many model replicas there are, and however much other ingress replicas ask of them. The one batch on top
    keeps the model busy, and makes the shares of several ingress replicas equal in the end: the smaller a share, the
    faster it grows by it (as with FAST TCP's window).

    Tokens are guessed from UTF-8 bytes, at the ratio that the model's answers tell: tokenizing here would cost
    a refused text a hundred times as much, and a wrong guess only shows as another rate.
    """

    def __init__(self, settings: Settings, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_wait_s = settings.max_wait_s
        self._batch_tokens = settings.batch_tokens
        self._max_tokens = settings.max_tokens
        self._metrics = metrics
        self._clock = clock
        self._outstanding = 0
        self._tokens_per_s: float | None = None
        self._sampled = clock()
        self._tokens_per_byte = _FIRST_GUESS
        self._appointments = Appointments()

    @property
    def bound(self) -> float:
        """Outstanding tokens at which new ones are refused; without end before the model has first answered."""
        return math.inf if self._tokens_per_s is None else self._tokens_per_s * self._max_wait_s + self._batch_tokens

    @contextmanager
    def admit(self, texts: Mapping[bytes, str], deadline: float) -> Iterator[Callable[[Classified], None]]:
        """Count the texts as outstanding while the block runs, which hands the model's answer to what it is given.

        The size of a request does not decide, so that a text gets the same treatment alone and in a list, and a
        service without work takes any request.

        Raises:
            TooBusy: too many tokens are outstanding.
            TooLate: the answer cannot be there by `deadline`, in seconds of `time.monotonic`.
        """
        lengths = [len(text.encode()) for text in texts.values()]
        tokens = sum(min(self._max_tokens, _SPECIAL_TOKENS + int(size * self._tokens_per_byte)) for size in lengths)
        key = next(iter(texts))
        now = self._clock()
        room = self.bound
        if self._appointments.keeps(key, now):
            room += (self._tokens_per_s or 0) * BUNCH_S
        if self._outstanding >= room:
            raise self._refuse(TooBusy(), key, tokens, deadline)
        if self._tokens_per_s and now + (self._outstanding + tokens) / self._tokens_per_s > deadline:
            raise self._refuse(TooLate(), key, tokens, deadline)
        self._count(tokens)
        ahead = self._outstanding

        def answered(answer: Classified) -> None:
            self._learn_rate(ahead, now, answer.tokens_per_s)
            if not any(answer.truncated):
                words = answer.tokens - _SPECIAL_TOKENS * len(lengths)
                self._tokens_per_byte += _GUESS_WEIGHT * (words / max(1, sum(lengths)) - self._tokens_per_byte)

        try:
            yield answered
        except TooBusy as busy:  # said by the model, which knows of its own queue only
            raise self._refuse(busy, key, tokens, deadline) from None
        finally:
            self._count(-tokens)

    def _count(self, tokens: int) -> None:
        self._outstanding += tokens
        self._metrics.outstanding_tokens.value = self._outstanding

    def _learn_rate(self, outstanding: int, began: float, reported: float) -> None:
        if self._tokens_per_s is None:
            self._tokens_per_s = self._metrics.drain_tokens_per_s.value = reported
        if outstanding < self._batch_tokens:
            return  # the model was not busy, so this tells of the demand and not of the model
        now = self._clock()
        # an outage is no rate: one answer may not say less than half
        seen = max(outstanding / max(now - began, 1e-6), self._tokens_per_s / 2)
        weight = 1 - math.exp((self._sampled - now) / self._max_wait_s)
        self._tokens_per_s += weight * (seen - self._tokens_per_s)
        self._sampled = now
        self._metrics.drain_tokens_per_s.value = self._tokens_per_s

    def _refuse(self, busy: TooBusy, key: bytes, tokens: int, deadline: float) -> TooBusy:
        """The refusal with the time to come back, no earlier than the one it has."""
        tokens_per_s = self._tokens_per_s or self._batch_tokens / self._max_wait_s
        wait_s = max(busy.wait_s, self._outstanding / tokens_per_s)
        kind = type(busy)
        return kind(self._appointments.book(key, tokens, wait_s, tokens_per_s, self._clock()), deadline)
