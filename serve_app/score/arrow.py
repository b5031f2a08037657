"""Imports pyarrow, which only Parquet, zstd and URLs need."""

from __future__ import annotations

import importlib
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
