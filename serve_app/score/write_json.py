"""Writes rows as JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from serve_app.score.columns import Added
from serve_app.score.rows import Part
from serve_app.score.values import records, to_json, to_text

if TYPE_CHECKING:
    from serve_app.score.write import Scored


def to_json_lines(part: Part, results: Sequence[Scored], added: Added) -> bytes:
    """A line for each row; a JSON object is kept unchanged, and the added values go before its last brace.

    Error and original row are left out if they are empty.
    """
    names = [to_json(to_text(name)) + b":" for name in added.names]
    behind = [_pairs(names, result, added) for result in results]
    if part.kind == "jsonl":
        return b"".join(_spliced(row.values, more) for row, more in zip(part.rows, behind, strict=True))
    keys = [to_json(to_text(name)) + b":" for name in part.columns]
    out = []
    for (values, _), more in zip(records(part), behind, strict=True):
        own = b",".join(key + to_json(_clean(value)) for key, value in zip(keys, values or [], strict=False))
        out.append(b"{" + own + (b"," if own else b"") + more + b"}\n")
    return b"".join(out)


def _spliced(line: bytes | None, more: bytes) -> bytes:
    if line is None:
        return b"{" + more + b"}\n"
    before = line[:-1].rstrip()
    return before + (b"" if before == b"{" else b",") + more + b"}\n"


def _pairs(names: Sequence[bytes], result: Scored, added: Added) -> bytes:
    always = len(added.names) - 2
    return b",".join(
        name + to_json(_clean(value))
        for number, (name, value) in enumerate(zip(names, result.values, strict=True))
        if value is not None or number < always
    )


def _clean(value: object) -> object:
    return to_text(value) if isinstance(value, str) else value
