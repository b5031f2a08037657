"""The prediction for one text, as the cache stores it and as the response shows it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from model.labels import Scores

KEY_BYTES = 16
_TOLERANCE = 1e-6
_MAX_NUMBER_BYTES = 32


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one text.

    `json` is its part of the response body, ready to be joined; `scores` has one for each label of the model.
    """

    scores: Scores
    truncated: bool
    json: bytes


class BadValue(ValueError):
    """Bytes from the cache are not a valid prediction."""


def text_key(text: str, owner: bytes = b"") -> bytes:
    """The cache key of a text: a hash of 16 bytes, different for each `owner` (at most 64 bytes)."""
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES, key=owner).digest()


def request_key(texts: Iterable[bytes]) -> bytes:
    """The key of a request by those of its texts, in order: a hash of 16 bytes."""
    return hashlib.blake2b(b"".join(texts), digest_size=KEY_BYTES).digest()


def make_prediction(scores: Scores, labels: Sequence[str], *, truncated: bool) -> Prediction:
    """Render scores as the response shows them: every label, the highest score first."""
    ranked = sorted(range(len(labels)), key=scores.__getitem__, reverse=True)  # equal ones stay in the model's order
    return Prediction(scores, truncated, orjson.dumps([{"label": labels[i], "score": scores[i]} for i in ranked]))


def dump(prediction: Prediction) -> bytes:
    """The prediction as Redis keeps it: `[score of label 0, score of label 1, ..., truncated]` in JSON."""
    return orjson.dumps([*prediction.scores, prediction.truncated])


def load(value: bytes | str, labels: Sequence[str], *, sum_to_one: bool = True) -> Prediction:
    """Read what `dump` wrote for a model with these labels; `sum_to_one` if its scores must add up to 1.

    Raises:
        BadValue: the value is anything else, or scores are out of range.
    """
    if len(value) > _MAX_NUMBER_BYTES * (len(labels) + 1):  # one that another program wrote may be of any size
        raise BadValue
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise BadValue from None
    match parsed:
        case [*scores, bool(truncated)] if len(scores) == len(labels):
            pass
        case _:
            raise BadValue
    if not all(isinstance(score, float) and 0.0 <= score <= 1.0 for score in scores):
        raise BadValue
    if sum_to_one and not math.isclose(sum(scores), 1.0, abs_tol=_TOLERANCE):
        raise BadValue
    return make_prediction(tuple(scores), labels, truncated=truncated)
