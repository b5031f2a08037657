from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.batches import chunks, length_groups

lengths_lists = st.lists(st.integers(2, 512), max_size=200)


@given(lengths_lists)
def test_each_index_is_in_one_group(lengths: list[int]) -> None:
    groups = length_groups(lengths, 1024, 512)
    assert sorted(index for group in groups for index in group.indices) == list(range(len(lengths)))


@given(lengths_lists)
def test_a_group_fits_the_budget_and_its_members(lengths: list[int]) -> None:
    for group in length_groups(lengths, 1024, 512):
        assert len(group.indices) * group.width <= 1024
        assert all(lengths[index] <= group.width <= 512 for index in group.indices)
        assert group.width - min(lengths[index] for index in group.indices) < 8


@given(lengths_lists)
def test_shapes_are_few(lengths: list[int]) -> None:
    for group in length_groups(lengths, 1024, 512):
        assert group.width % 4 == 0
        assert len(group.indices).bit_count() == 1


def test_of_mixed_lengths_at_most_a_tenth_is_padding() -> None:
    # lengths of sentences, as in reviews: a few words to a few dozen
    rng = random.Random(1)
    lengths = [max(3, round(rng.gauss(25, 11))) for _ in range(2000)]
    area = sum(group.width * len(group.indices) for group in length_groups(lengths, 1024, 512))
    assert 1 - sum(lengths) / area <= 0.1


@given(lengths_lists)
def test_chunks_keep_the_order_and_the_budget(lengths: list[int]) -> None:
    runs = chunks(lengths, 600)
    assert [index for run in runs for index in run] == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in run) <= 600 for run in runs)


def test_a_sequence_longer_than_the_budget_goes_alone() -> None:
    assert [group.indices for group in length_groups([2000, 10], 1024, 4096)] == [[1], [0]]
    assert chunks([10, 2000, 10], 1024) == [[0], [1], [2]]


@given(st.integers(8, 513).flatmap(lambda most: st.tuples(st.just(most), st.lists(st.integers(1, most), max_size=50))))
def test_no_group_is_wider_than_the_model_has_positions(case: tuple[int, list[int]]) -> None:
    positions, lengths = case
    for group in length_groups(lengths, 1024, positions):
        assert max(lengths[index] for index in group.indices) <= group.width <= positions


@pytest.mark.parametrize("length", [0, 511])
def test_a_sequence_that_cannot_be_run_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 510 can be run"):
        length_groups([4, length], 1024, 510)
