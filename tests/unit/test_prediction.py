from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.prediction import BadValue, dump, load, make_prediction, text_key

LABELS = ("NEGATIVE", "POSITIVE")
shares = st.floats(0, 1)


@given(shares, st.booleans())
def test_what_is_dumped_is_loaded(share: float, truncated: bool) -> None:  # noqa: FBT001
    prediction = make_prediction((1 - share, share), LABELS, truncated=truncated)
    assert load(dump(prediction), LABELS) == prediction


@given(shares)
def test_the_higher_score_comes_first(share: float) -> None:
    pairs = json.loads(make_prediction((1 - share, share), LABELS, truncated=False).json)
    assert {pair["label"] for pair in pairs} == set(LABELS)
    assert pairs[0]["score"] >= pairs[1]["score"]
    assert pairs[0]["score"] + pairs[1]["score"] == pytest.approx(1)


def test_ordinary_scores_are_plain_decimals() -> None:
    assert b"e" not in make_prediction((0.00002, 0.99998), LABELS, truncated=False).json.replace(b"label", b"").replace(
        b"score", b""
    )


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"[0.5]",
        b"[0.5,0.5]",
        b"[0.5,0.5,1]",
        b"[0.5,0.5" + b" " * 100 + b",false]",
        b"[0.5,0.5,false,0]",
        b"[1,0,false]",
        b'["0.5",0.5,false]',
        b"[0.5,0.6,false]",
        b"[-0.5,1.5,false]",
        b"[NaN,0.5,false]",
        b"[1e999,0.0,false]",
        b"\x80\x04\x95pickled",
        b"[0.5,0.5,false",
        b"[[0.5,0.5,false]]",
    ],
)
def test_a_value_that_is_no_prediction_is_refused(value: bytes) -> None:
    with pytest.raises(BadValue):
        load(value, LABELS)


@given(st.binary())
def test_any_bytes_are_a_prediction_or_refused(value: bytes) -> None:
    try:
        prediction = load(value, LABELS)
    except BadValue:
        return
    assert sum(prediction.scores) == pytest.approx(1)


def test_keys_differ_and_reveal_nothing() -> None:
    keys = {text_key(text) for text in ("", " ", "a", "A", "é", "e\u0301")}
    assert len(keys) == 6
    assert all(len(key) == 16 for key in keys)
