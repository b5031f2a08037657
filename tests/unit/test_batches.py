from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.batches import chunks, length_groups

lengths_lists = st.lists(st.integers(2, 512), max_size=200)


@given(lengths_lists)
def test_each_index_is_in_one_group(lengths: list[int]) -> None:
    groups = length_groups(lengths, 1024)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))


@given(lengths_lists)
def test_a_group_pads_at_most_a_tenth_and_fits_the_budget(lengths: list[int]) -> None:
    for group in length_groups(lengths, 1024):
        area = max(lengths[index] for index in group) * len(group)
        assert area <= 1024
        assert area - sum(lengths[index] for index in group) <= 0.1 * area


@given(lengths_lists)
def test_chunks_keep_the_order_and_the_budget(lengths: list[int]) -> None:
    runs = chunks(lengths, 600)
    assert [index for run in runs for index in run] == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in run) <= 600 for run in runs)


def test_a_sequence_longer_than_the_budget_goes_alone() -> None:
    assert length_groups([2000, 10], 1024) == [[1], [0]]
    assert chunks([10, 2000, 10], 1024) == [[0], [1], [2]]
