"""Reads files of a model directory; each fault is an error of one line that names the file."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from model.errors import ModelError

_POINTER = b"version https://git-lfs.github.com/spec/"


def unreadable(file: Path, error: OSError) -> ModelError:
    """The error for a file that cannot be read."""
    hint = "; let the user that this runs as read it" if isinstance(error, PermissionError) else ""
    return ModelError(f"{file} cannot be read ({error.strerror}){hint}")


def refuse_pointer(file: Path) -> None:
    """Raise ModelError if the file is a git-lfs pointer, which stands for a large file that was not fetched."""
    try:
        with file.open("rb") as content:
            head = content.read(len(_POINTER))
    except OSError as error:
        raise unreadable(file, error) from None
    if head == _POINTER:
        raise ModelError(f"{file} is only a git-lfs pointer; fetch what it stands for: git lfs pull")


def is_file(file: Path) -> bool:
    """Whether there is such a file.

    Raises:
        ModelError: it is not accessible, is a directory or a device, or is a dangling link, as in a snapshot of
            the hub's cache that was copied without its blobs.
    """
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for a name with a null character
        if file.is_symlink():
            raise ModelError(f"{file} is a link to a file that is not there; copy the directory with cp -rL") from None
        return False
    except OSError as error:
        raise unreadable(file, error) from None
    if not stat.S_ISREG(mode):
        raise ModelError(f"{file} is no regular file; fetch or save the model again")
    return True


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
        raise unreadable(file, error) from None
    if not isinstance(content, dict):
        raise ModelError(f"{file} is no JSON object; save or fetch it again")
    return content
