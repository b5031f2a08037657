"""The committed pin of a model on the hub: the revision and file hashes that every fetch must match."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from model.errors import ModelError
from model.files import is_file, read_json
from model.install import write_text

PIN = Path(__file__).resolve().parent / "pin.json"
"""Written by `python -m model.fetch --pin`, and committed; without it nothing is pinned."""


@dataclass(frozen=True)
class Pin:
    """A repository on the hub, one commit of it, and the sha256 of each file by name."""

    repo: str
    revision: str
    files: dict[str, str]

    def check(self, file: Path, commit: str, names: list[str]) -> None:
        """Compare the files to fetch with this pin, which was read from `file`.

        Raises:
            ModelError: the commit or the files differ.
        """
        if commit != self.revision:
            raise ModelError(f"{file} pins {self.repo} at {self.revision}, not {commit}; --pin moves the pin")
        if differ := sorted(self.files.keys() ^ set(names)):
            raise ModelError(f"{', '.join(differ)} differ between {file} and the hub; the model was refused")


def read_pin(file: Path, repo: str) -> Pin | None:
    """The pin of this repository, or None if it has none.

    Raises:
        ModelError: the file is not a pin.
    """
    if not is_file(file):
        return None
    match read_json(file):
        case {"repo": str(named), "revision": str(revision), "files": dict(files), **others} if not others:
            return Pin(named, revision, files) if named == repo else None
    raise ModelError(f"{file} is no pin; python -m model.fetch --pin writes it")


def require_folder(file: Path) -> None:
    """Check before a long download that its pin can be written.

    Raises:
        ModelError: the file's folder does not exist, or cannot be written to.
    """
    folder = file.parent
    if not folder.is_dir():
        raise ModelError(f"{file} cannot be written; {folder} is no folder")
    if not os.access(folder, os.W_OK):
        raise ModelError(f"{file} cannot be written; {folder} is read-only")


def write_pin(file: Path, pin: Pin) -> None:
    """Write the pin, in place of an earlier one."""
    write_text(file, json.dumps(asdict(pin), indent=2) + "\n")
