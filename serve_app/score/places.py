"""Finds the files of an input: a path, a folder, a glob, or a URL that pyarrow can read."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from serve_app.score.arrow import arrow
from serve_app.score.errors import ScoreError, explain_os_error

_WILD = "*?["


@dataclass(frozen=True)
class InputFile:
    """A file to read, with its name for messages; size and time of change show whether it has changed."""

    name: str
    size: int
    mtime_ns: int
    open: Callable[[], IO[bytes]]


def is_url(place: str) -> bool:
    """Whether it is a URL of another file system. file:// is a local path."""
    return "://" in place and not place.startswith("file://")


def local_path(place: str) -> Path:
    """The path of a local place, without file://."""
    return Path(place.removeprefix("file://"))


def file_system(url: str) -> tuple[Any, str]:
    """Pyarrow's file system for a URL, and the path in it.

    Raises:
        ScoreError: pyarrow has no file system for it.
    """
    fs = arrow("pyarrow.fs")
    try:
        system, path = fs.FileSystem.from_uri(url)
    except (ValueError, OSError) as error:
        raise ScoreError(f"{url}: {str(error).partition(chr(10))[0]}") from None
    return system, path


def input_files(place: str) -> list[InputFile]:
    """The files of a path, folder, glob or URL, sorted by name. In folders, names with a leading dot or _ are skipped.

    Raises:
        ScoreError: there is no such file, or the file system cannot be reached.
    """
    try:
        files = _remote(place) if is_url(place) else _local(place)
    except OSError as error:
        raise explain_os_error(error, place) from None
    if not files:
        raise ScoreError(f"{place}: there is no such file")
    return files


def _local(place: str) -> list[InputFile]:
    path = local_path(place)
    if path.is_dir():
        paths = [each for each in sorted(path.rglob("*")) if each.is_file() and _visible(str(each.relative_to(path)))]
    elif path.exists() or not any(letter in place for letter in _WILD):
        paths = [path] if path.exists() else []
    else:
        paths = [each for each in map(Path, sorted(glob.glob(str(path), recursive=True))) if each.is_file()]  # noqa: PTH207  (an absolute pattern too)
    return [_local_file(each) for each in paths]


def _local_file(path: Path) -> InputFile:
    status = path.stat()
    return InputFile(str(path), status.st_size, status.st_mtime_ns, lambda: path.open("rb"))


def _remote(url: str) -> list[InputFile]:
    fs = arrow("pyarrow.fs")
    wild = min((url.find(letter) for letter in _WILD if letter in url), default=-1)
    base = url if wild < 0 else url[: url.rindex("/", 0, wild)]
    system, path = file_system(base)
    info = system.get_file_info(path)
    if info.type == fs.FileType.File:
        infos = [info]
    elif info.type == fs.FileType.Directory:
        infos = [each for each in system.get_file_info(fs.FileSelector(path, recursive=True)) if each.is_file]
        if wild < 0:
            infos = [each for each in infos if _visible(each.path.removeprefix(path))]
        else:
            infos = [each for each in infos if fnmatch.fnmatchcase(each.path, path + url[len(base) :])]
    else:
        infos = []
    scheme = url.partition("://")[0]
    return [
        InputFile(f"{scheme}://{each.path}", each.size, each.mtime_ns or 0, _opener(system, each.path))
        for each in sorted(infos, key=lambda each: str(each.path))
    ]


def _opener(system: Any, path: str) -> Callable[[], IO[bytes]]:
    return lambda: cast("IO[bytes]", system.open_input_file(path))


def _visible(path: str) -> bool:
    return not any(name.startswith((".", "_")) for name in path.split("/") if name)
