"""The hashes of a model directory's files: written when it is made, checked whenever it is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from model.errors import ModelError
from model.files import is_file, read_json, unreadable

FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """A model's name and revision, and the sha256 of each of its files by name."""

    name: str
    revision: str
    files: dict[str, str]


def sha256(path: Path) -> str:
    """The file's sha256 in hexadecimal.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def write_manifest(directory: Path, name: str, revision: str, files: Iterable[str]) -> Manifest:
    """Hash the named files of `directory` and record them in its manifest.json."""
    manifest = Manifest(name, revision, {file: sha256(directory / file) for file in sorted(files)})
    (directory / FILE_NAME).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    return manifest


def read_manifest(directory: Path) -> Manifest | None:
    """The directory's manifest, or None if it has none, as one that was saved by hand."""
    path = directory / FILE_NAME
    if not is_file(path):
        return None
    match read_json(path):
        case {"name": str(name), "revision": str(revision), "files": dict(files), **others} if not others:
            return Manifest(name, revision, files)
    raise ModelError(f"{path} is not a manifest; fetch or train the model again")


def check_manifest(directory: Path, manifest: Manifest) -> None:
    """Compare every file that the manifest names with its hash.

    Raises:
        ModelError: a file is missing or differs, so the model is not the one that was fetched or trained.
    """
    for name, wanted in manifest.files.items():
        path = directory / name
        if not is_file(path):
            raise ModelError(f"{path} is missing, although {FILE_NAME} names it; fetch the model again")
        if sha256(path) != wanted:
            raise ModelError(f"{path} does not match the sha256 in {FILE_NAME}; fetch the model again")
