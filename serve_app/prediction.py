"""One text's answer: what the cache keeps and the response is joined from."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import orjson

KEY_BYTES = 16
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one text.

    `json` is its part of the response body, ready to be joined; `scores` are those of label 0 and 1.
    """

    scores: tuple[float, float]
    truncated: bool
    json: bytes


class BadValue(ValueError):
    """Bytes from the cache are no prediction."""


def text_key(text: str) -> bytes:
    """What a text is cached under: 16 bytes that tell nothing of it."""
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


def make_prediction(scores: tuple[float, float], labels: tuple[str, str], *, truncated: bool) -> Prediction:
    """Render scores as the response shows them: both labels, the higher score first."""
    first = 1 if scores[1] > scores[0] else 0
    pairs = [{"label": labels[label], "score": scores[label]} for label in (first, 1 - first)]
    return Prediction(scores, truncated, orjson.dumps(pairs))


def dump(prediction: Prediction) -> bytes:
    """The prediction as Redis keeps it: `[score of label 0, score of label 1, truncated]` in JSON."""
    return orjson.dumps([*prediction.scores, prediction.truncated])


def load(value: bytes | str, labels: tuple[str, str]) -> Prediction:
    """Read what `dump` wrote.

    Raises:
        BadValue: it is anything else, or scores are out of range.
    """
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise BadValue from None
    match parsed:
        case [float(low), float(high), bool(truncated)]:
            scores = (low, high)
        case _:
            raise BadValue
    if not all(0.0 <= score <= 1.0 for score in scores) or not math.isclose(sum(scores), 1.0, abs_tol=_TOLERANCE):
        raise BadValue
    return make_prediction(scores, labels, truncated=truncated)
