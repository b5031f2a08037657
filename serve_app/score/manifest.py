"""The manifest of OUTPUT.parts: the inputs of its parts, so that only a run with the same inputs reuses them."""

from __future__ import annotations

from typing import Any

import orjson

from serve_app.identity import Identity
from serve_app.score import memory, read_parquet, source
from serve_app.score.errors import ScoreError
from serve_app.score.formats import Format
from serve_app.score.places import MANIFEST
from serve_app.score.source import Source
from serve_app.score.store import Store

WRITTEN = "written"
"""Name of a copy of the manifest, made once the output is complete. It is the last by name, so it is removed last."""

_WORDS = {
    "input": "the input, which has changed",
    "column": "the column",
    "format": "the output's format",
    "model": "the model, its precision or its truncation",
    "max_text_chars": "SENTIMENT_MAX_TEXT_CHARS",
    "parts": "the version of this program",
}


def manifest_of(inputs: Source, form: Format, identity: Identity) -> dict[str, Any]:
    """Everything that the bytes of the parts depend on."""
    return {
        "input": [[file.name, file.size, file.mtime_ns] for file in inputs.files],
        "column": inputs.column,
        "format": [form.kind, form.compression],
        "model": identity.fingerprint,
        "max_text_chars": inputs.max_chars,
        "parts": {
            "version": 4,
            "rows": source.PART_ROWS,
            "bytes": source.PART_BYTES,
            "batch": [read_parquet.BATCH_ROWS, read_parquet.BATCH_BYTES],
            "memory": memory.TEXTS,
        },
    }


def check(store: Store, wanted: dict[str, Any], place: str) -> bool:
    """Whether the folder has a manifest. If it has one, it equals `wanted`.

    Raises:
        ScoreError: another file is in the output's place, the manifest differs, or there are files without one.
    """
    if store.has_other_output():
        raise ScoreError(f"{store.output} exists; remove it, or choose another output")
    names = store.names()
    if MANIFEST not in names:
        if names not in ([], [WRITTEN]):
            raise ScoreError(f"{place} has files but no manifest; choose another output")
        return False
    found = _read(store, MANIFEST)
    differing = [_WORDS[key] for key in wanted if found.get(key) != wanted[key]]
    if differing:
        raise ScoreError(
            f"{place} was started with another value of: {', '.join(differing)}; restore it, or remove {place}"
        )
    return True


def is_finished(store: Store, wanted: dict[str, Any]) -> bool:
    """Whether an earlier run has completed this output, and was stopped before it had removed the parts."""
    return store.exists() and WRITTEN in store.names() and _read(store, WRITTEN) == wanted


def begin(store: Store, wanted: dict[str, Any], place: str) -> None:
    """Lock the folder of the parts, and write the manifest if it is missing.

    Raises:
        ScoreError: as for `check`, or another run has locked the folder.
    """
    store.open()
    if not check(store, wanted, place):
        store.put(MANIFEST, orjson.dumps(wanted, option=orjson.OPT_INDENT_2))
    if WRITTEN in store.names():  # of an output that is gone
        store.put(WRITTEN, b"{}")


def clear(store: Store) -> None:
    """Remove the parts of a finished output.

    Raises:
        ScoreError: another run has locked the folder.
    """
    store.open()
    store.finish()


def end(store: Store) -> None:
    """Record that the output is complete, and remove the parts."""
    store.put(WRITTEN, store.read(MANIFEST))
    store.finish()


def _read(store: Store, name: str) -> dict[str, Any]:
    try:
        found = orjson.loads(store.read(name))
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
