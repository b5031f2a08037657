from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.batches import pack

lengths_lists = st.lists(st.integers(2, 512), max_size=200)


@given(lengths_lists)
def test_each_index_is_in_one_row(lengths: list[int]) -> None:
    rows = [row for rectangle in pack(lengths, 256, 512) for row in rectangle]
    assert sorted(index for row in rows for index in row.indices) == list(range(len(lengths)))
    assert all(row.tokens == sum(lengths[index] for index in row.indices) <= row.width for row in rows)


@given(lengths_lists)
def test_a_rectangle_fits_the_budget_or_is_one_row(lengths: list[int]) -> None:
    for rectangle in pack(lengths, 256, 512):
        assert len({row.width for row in rectangle}) == 1
        assert len(rectangle) == 1 or len(rectangle) * rectangle[0].width <= 256


@given(lengths_lists)
def test_shapes_are_few(lengths: list[int]) -> None:
    for rectangle in pack(lengths, 256, 512):
        width = rectangle[0].width
        assert width == 8 or width % (16 if width <= 64 else 32) == 0
        assert width >= 64 or len(rectangle) == 1


@pytest.mark.parametrize(("length", "width"), [(3, 8), (8, 8), (9, 16), (17, 32), (64, 64), (65, 96)])
def test_a_sequence_alone_is_in_a_row_of_its_own_width(length: int, width: int) -> None:
    assert [row.width for rectangle in pack([length], 256, 512) for row in rectangle] == [width]


def test_of_mixed_lengths_at_most_a_twentieth_is_padding() -> None:
    # lengths of sentences, as in reviews: a few words to a few dozen
    rng = random.Random(1)
    lengths = [max(3, round(rng.gauss(25, 11))) for _ in range(2000)]
    area = sum(row.width for rectangle in pack(lengths, 256, 512) for row in rectangle)
    assert 1 - sum(lengths) / area <= 0.05


def test_a_sequence_longer_than_the_budget_shares_its_row_only() -> None:
    rectangles = pack([2000, 10], 1024, 4096)
    assert [[row.indices for row in rectangle] for rectangle in rectangles] == [[[0, 1]]]


@pytest.mark.parametrize("length", [0, 511])
def test_a_sequence_that_cannot_be_run_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 510 can be run"):
        pack([4, length], 1024, 510)
