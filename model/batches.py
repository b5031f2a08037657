"""Cut token sequences into groups that are cheap to run together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FINE_STEP, COARSE_STEP, COARSE_FROM = 4, 8, 64


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences to run as one rectangle: their indices, and its width in tokens."""

    indices: list[int]
    width: int


def padded_width(length: int, positions: int) -> int:
    """The width that a sequence is padded to: a few widths only, since each new shape costs time and memory.

    Never more than the model's `positions`, which need be no multiple of a step.
    """
    step = FINE_STEP if length <= COARSE_FROM else COARSE_STEP
    return min(-(-length // step) * step, positions)


def length_groups(lengths: Sequence[int], max_tokens: int, positions: int) -> list[Group]:
    """Group indices of sequences that are padded to the same width, each group within `max_tokens`.

    Group sizes are powers of two, again to keep shapes few. A sequence longer than `max_tokens` is a group alone.

    Raises:
        ValueError: a sequence is longer than the model's `positions`, or has no token.
    """
    by_width: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        if not 1 <= length <= positions:
            raise ValueError(f"a sequence of {length} tokens, where 1 to {positions} can be run")
        by_width.setdefault(padded_width(length, positions), []).append(index)
    groups = []
    for width, indices in sorted(by_width.items()):
        start = 0
        while start < len(indices):
            most = max(1, min(len(indices) - start, max_tokens // width))
            size = 1 << (most.bit_length() - 1)
            groups.append(Group(indices[start : start + size], width))
            start += size
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
