"""Which of a model's labels a name in the data stands for."""

from __future__ import annotations

import pytest

from model.label_names import UnknownLabel, numbered

SENTIMENT = ("negative", "neutral", "positive")
STARS = ("1 star", "2 stars", "3 stars")


@pytest.mark.parametrize(
    ("labels", "names", "wanted"),
    [
        (("NEGATIVE", "POSITIVE"), ["0", "1", "negative", "Positive"], [0, 1, 0, 1]),
        (("POSITIVE", "NEGATIVE"), ["0", "1", "negative", "Positive"], [1, 0, 1, 0]),
        (SENTIMENT, ["Neutral", " POSITIVE ", "0", "1"], [1, 2, 0, 2]),
        (STARS, ["3 Stars", "1 star"], [2, 0]),
        (("1", "0"), ["0", "1"], [1, 0]),
        (("LABEL_0", "LABEL_1", "LABEL_2"), ["label_2", "LABEL_0"], [2, 0]),
        (("us", "US"), ["US", "us"], [1, 0]),
        (("STRASSE", "x"), ["stra\u00dfe"], [0]),
    ],
)
def test_a_name_is_its_label_in_any_case(labels: tuple[str, ...], names: list[str], wanted: list[int]) -> None:
    assert numbered(names, labels) == wanted


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (("toxic", "clean"), "0"),
        (("toxic", "clean"), "POSITIVE"),
        (SENTIMENT, "2"),
        (STARS, "1"),
        (("us", "US"), "Us"),
        (("NEGATIVE", "POSITIVE"), "-1"),
        (("NEGATIVE", "POSITIVE"), ""),
    ],
)
def test_what_is_no_name_is_refused_rather_than_guessed(labels: tuple[str, ...], name: str) -> None:
    with pytest.raises(UnknownLabel, match="is none of the model's") as caught:
        numbered([labels[0], name], labels)
    assert caught.value.index == 1
