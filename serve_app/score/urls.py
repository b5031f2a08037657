"""Paths and URLs of inputs and outputs, and pyarrow's file systems for URLs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from serve_app.score.arrow import arrow
from serve_app.score.errors import ScoreError

_RETRY_S = "retry_limit_seconds"
_MAX_RETRY_S = 30
"""pyarrow tries Google's store again for minutes, even without credentials. Its URLs for S3 have no such option;
there it gives up after seconds, or after 100 s if the store accepts a connection and never answers."""


def is_url(place: str) -> bool:
    """Whether it is a URL of another file system. file:// is a local path."""
    return "://" in place and not place.startswith("file://")


def local_path(place: str) -> Path:
    """The path of a local place, without file://.

    Raises:
        ScoreError: it contains NUL, as %00.
    """
    path = unquote(place.removeprefix("file://")) if place.startswith("file://") else place
    if "\0" in path:
        raise ScoreError(f"{place}: a path cannot contain NUL")
    return Path(path)


def is_same(place: str, other: str) -> bool:
    """Whether both are one file, also through links, or one URL."""
    if is_url(place) or is_url(other):
        return place == other
    return os.path.realpath(local_path(place)) == os.path.realpath(local_path(other))


def file_system(url: str) -> tuple[Any, str]:
    """Pyarrow's file system for a URL, and the path in it.

    Raises:
        ScoreError: pyarrow has no file system for it.
    """
    fs = arrow("pyarrow.fs")
    try:
        system, path = fs.FileSystem.from_uri(_with_limit(url))
    except (ValueError, OSError) as error:
        raise ScoreError(f"{url}: {str(error).partition(chr(10))[0]}") from None
    return system, path


def _with_limit(url: str) -> str:
    """The URL with a limit for retries if it lacks one and can have one."""
    if not url.startswith(("gs://", "gcs://")) or f"{_RETRY_S}=" in url.partition("?")[2]:
        return url
    return f"{url}{'&' if '?' in url else '?'}{_RETRY_S}={_MAX_RETRY_S}"
