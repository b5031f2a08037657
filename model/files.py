"""Files of a model directory, read so that whatever is wrong with one is a line with its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.errors import ModelError

_POINTER = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(file: Path) -> None:
    """Raise ModelError where the file is what git leaves of a large file that git-lfs has not fetched."""
    try:
        with file.open("rb") as content:
            head = content.read(len(_POINTER))
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror})") from None
    if head == _POINTER:
        raise ModelError(f"{file} is only a git-lfs pointer; fetch what it stands for: git lfs pull")


def is_file(file: Path) -> bool:
    """Whether there is such a file.

    Raises:
        ModelError: its directory cannot be read, or there is only a link to nothing, as in a snapshot of a cache
            that was copied without its blobs.
    """
    try:
        if file.is_symlink() and not file.exists():
            raise ModelError(f"{file} is a link to a file that is not there; copy the directory with cp -rL")
        return file.is_file()
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror})") from None


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in the file.

    Raises:
        ModelError: the file cannot be read, or holds anything else.
    """
    refuse_pointer(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ModelError(f"{file} is not JSON in UTF-8; save or fetch it again") from None
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror})") from None
    if not isinstance(content, dict):
        raise ModelError(f"{file} is no JSON object; save or fetch it again")
    return content
