"""Cut token sequences into groups that are cheap to run together."""

from __future__ import annotations

from collections.abc import Sequence

MAX_PADDING = 0.10


def length_groups(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Group indices of alike lengths, so that each group pads at most a tenth and holds at most `max_tokens`.

    A group is run as a rectangle as wide as its longest member. Members are taken shortest first, and a
    group is closed when one more would pass either bound; one sequence longer than `max_tokens` is a group alone.
    """
    groups: list[list[int]] = []
    used = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        width = lengths[index]
        if groups:
            area = width * (len(groups[-1]) + 1)
            if area <= max_tokens and area - used - width <= MAX_PADDING * area:
                groups[-1].append(index)
                used += width
                continue
        groups.append([index])
        used = width
    return groups


def chunks(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Cut indices, in order, into runs of at most `max_tokens` tokens, or of one longer sequence."""
    runs: list[list[int]] = []
    used = 0
    for index, length in enumerate(lengths):
        if runs and used + length <= max_tokens:
            runs[-1].append(index)
            used += length
        else:
            runs.append([index])
            used = length
    return runs
