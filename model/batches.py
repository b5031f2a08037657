"""Pack token sequences into rectangles that are cheap to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

ROW_TOKENS = 64
"""Width of a row that several sequences share; longer ones get rows of their own, of the next multiple of 32."""

FINE_STEP, COARSE_STEP = 16, 32
"""At other widths the runtime computes the last tokens of a row by other code, whose sums differ in the last bit, and
int8 makes more of that. At multiples of 16 a text has the same scores whatever its neighbours."""

SHORTEST = 8
"""Width of the row of a text alone that is no longer: it takes two thirds of the time that the next width takes."""


@dataclass(slots=True)
class Row:
    """Sequences that stand behind each other: their indices, and how many tokens they have together."""

    width: int
    indices: list[int] = field(default_factory=list)
    tokens: int = 0

    def add(self, index: int, length: int) -> None:
        """Append the sequence."""
        self.indices.append(index)
        self.tokens += length


def padded_width(length: int) -> int:
    """The width that a row is padded to: a few widths only, since each new shape costs time and memory."""
    if length <= SHORTEST:
        return SHORTEST
    step = FINE_STEP if length <= ROW_TOKENS else COARSE_STEP
    return -(-length // step) * step


def pack(lengths: Sequence[int], max_tokens: int, positions: int) -> list[list[Row]]:
    """Rectangles of rows of one width that together hold each sequence once, each rectangle within `max_tokens`.

    A sequence that is longer than `max_tokens` is a rectangle alone.

    Raises:
        ValueError: a sequence is longer than the model's `positions`, or has no token.
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
    for row in rows:  # the widest first, so those of one width are side by side
        if rectangles and rectangles[-1][0].width == row.width and (len(rectangles[-1]) + 1) * row.width <= max_tokens:
            rectangles[-1].append(row)
        else:
            rectangles.append([row])
    for rectangle in rectangles:
        if len(rectangle) == 1:
            rectangle[0].width = padded_width(rectangle[0].tokens)
    return rectangles
