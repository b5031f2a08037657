"""Pack token sequences into rectangles that are cheap to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

ROW_TOKENS = 64
"""Width of a row that several sequences share; a longer one gets its own row, rounded up to a multiple of 32."""

FINE_STEP, COARSE_STEP = 16, 32
"""At other widths the runtime computes the last tokens of a row by other code, whose sums differ in the last bit, and
int8 amplifies that. At multiples of 16 a text has the same scores whatever its neighbours."""

MIN_WIDTH = 8
"""Minimum width of a row: it takes two thirds of the time of the next width."""


@dataclass(slots=True)
class Row:
    """Consecutive sequences of one row: their indices, and their tokens in total."""

    width: int
    indices: list[int] = field(default_factory=list)
    tokens: int = 0

    def add(self, index: int, length: int) -> None:
        """Append the sequence."""
        self.indices.append(index)
        self.tokens += length


def padded_width(length: int) -> int:
    """The width that a row is padded to: a few widths only, since each new shape costs time and memory."""
    if length <= MIN_WIDTH:
        return MIN_WIDTH
    step = FINE_STEP if length <= ROW_TOKENS else COARSE_STEP
    return -(-length // step) * step


def pack(lengths: Sequence[int], max_tokens: int, positions: int) -> list[list[Row]]:
    """Rectangles of rows of one width, each of at most `max_tokens`, that together hold each sequence once.

    A sequence that is longer than `max_tokens` is a rectangle alone.

    Raises:
        ValueError: a sequence is longer than the model's `positions`, or is empty.
    """
    rows: list[Row] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[index]
        if not 1 <= length <= positions:
            raise ValueError(f"a sequence of {length} tokens, where 1 to {positions} can be run")
        row = next((row for row in rows if row.tokens + length <= row.width), None)
        if row is None:
            row = Row(max(ROW_TOKENS, padded_width(length)))
            rows.append(row)
        row.add(index, length)
    rectangles: list[list[Row]] = []
    for row in rows:  # widest first, so that rows of one width are adjacent
        if rectangles and rectangles[-1][0].width == row.width and (len(rectangles[-1]) + 1) * row.width <= max_tokens:
            rectangles[-1].append(row)
        else:
            rectangles.append([row])
    for rectangle in rectangles:
        if len(rectangle) == 1:
            rectangle[0].width = padded_width(rectangle[0].tokens)
    return rectangles
