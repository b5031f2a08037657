"""Imports pyarrow, which only Parquet, zstd and URLs need."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from serve_app.score.errors import ScoreError


def arrow(module: str = "pyarrow") -> Any:
    """Import `pyarrow` or one of its submodules.

    Raises:
        ScoreError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ScoreError(
            "Parquet, zstd and URLs need pyarrow, which is not installed: pip install -r requirements-score.txt"
        ) from None


@contextmanager
def writing(output: str) -> Iterator[None]:
    """Turn errors of pyarrow into a `ScoreError`, without their words, which may be a row's.

    Raises:
        ScoreError: pyarrow cannot convert or write a value.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("pyarrow"):  # which may be missing
            raise
        name = type(error).__name__
        raise ScoreError(f"{output}: pyarrow cannot write a value ({name}); choose another format") from None
