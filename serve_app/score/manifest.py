"""The manifest of OUTPUT.parts: what its parts were made of, so that only a run of the same goes on with them."""

from __future__ import annotations

from typing import Any

import orjson

from serve_app.identity import Identity
from serve_app.score import memory, source
from serve_app.score.errors import ScoreError
from serve_app.score.formats import Format
from serve_app.score.source import Source
from serve_app.score.store import Store

NAME = "manifest.json"
DONE = "done"
"""There once all parts are whole and the output is about to have its name."""

_WORDS = {
    "input": "the input, which has changed or is another",
    "column": "the column",
    "format": "the output's format",
    "model": "the model, its precision or its truncation",
    "max_text_chars": "SENTIMENT_MAX_TEXT_CHARS",
    "parts": "the version of this program",
}


def manifest_of(inputs: Source, form: Format, identity: Identity) -> dict[str, Any]:
    """What the bytes of the parts depend on."""
    return {
        "input": [[file.name, file.size, file.mtime_ns] for file in inputs.files],
        "column": inputs.column,
        "format": [form.kind, form.compression],
        "model": identity.fingerprint,
        "max_text_chars": inputs.max_chars,
        "parts": {"version": 1, "rows": source.PART_ROWS, "bytes": source.PART_BYTES, "memory": memory.TEXTS},
    }


def check(store: Store, wanted: dict[str, Any], place: str) -> bool:
    """Whether there is a manifest, which then says the same as this one.

    Raises:
        ScoreError: it says something else, or the folder is none of ours.
    """
    names = store.names()
    if NAME not in names:
        if names:
            raise ScoreError(f"{place} holds other files than a manifest and parts; choose another output")
        return False
    try:
        there = orjson.loads(store.read(NAME))
    except orjson.JSONDecodeError:
        there = {}
    differing = [_WORDS[key] for key in wanted if not isinstance(there, dict) or there.get(key) != wanted[key]]
    if differing:
        raise ScoreError(
            f"{place} was begun with another value of: {', '.join(differing)}; go on with that, or remove {place}"
        )
    return True


def begin(store: Store, wanted: dict[str, Any], place: str) -> None:
    """Take the folder of the parts, and write the manifest where there is none.

    Raises:
        ScoreError: as for `check`, or another run has the folder.
    """
    store.open()
    if not check(store, wanted, place):
        store.put(NAME, orjson.dumps(wanted, option=orjson.OPT_INDENT_2))
