from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from model.batches import chunks, length_groups

lengths_lists = st.lists(st.integers(2, 512), max_size=200)


@given(lengths_lists)
def test_each_index_is_in_one_group(lengths: list[int]) -> None:
    groups = length_groups(lengths, 1024)
    assert sorted(index for group in groups for index in group.indices) == list(range(len(lengths)))


@given(lengths_lists)
def test_a_group_fits_the_budget_and_its_members(lengths: list[int]) -> None:
    for group in length_groups(lengths, 1024):
        assert len(group.indices) * group.width <= 1024
        assert all(lengths[index] <= group.width <= 512 for index in group.indices)
        assert group.width - min(lengths[index] for index in group.indices) < 8


@given(lengths_lists)
def test_shapes_are_few(lengths: list[int]) -> None:
    for group in length_groups(lengths, 1024):
        assert group.width % 4 == 0
        assert len(group.indices).bit_count() == 1


def test_of_mixed_lengths_at_most_a_tenth_is_padding() -> None:
    # lengths of sentences, as in reviews: a few words to a few dozen
    rng = random.Random(1)
    lengths = [max(3, round(rng.gauss(25, 11))) for _ in range(2000)]
    area = sum(group.width * len(group.indices) for group in length_groups(lengths, 1024))
    assert 1 - sum(lengths) / area <= 0.1


@given(lengths_lists)
def test_chunks_keep_the_order_and_the_budget(lengths: list[int]) -> None:
    runs = chunks(lengths, 600)
    assert [index for run in runs for index in run] == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in run) <= 600 for run in runs)


def test_a_sequence_longer_than_the_budget_goes_alone() -> None:
    assert [group.indices for group in length_groups([2000, 10], 1024)] == [[1], [0]]
    assert chunks([10, 2000, 10], 1024) == [[0], [1], [2]]
