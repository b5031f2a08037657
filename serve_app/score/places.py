"""Finds the files of an input: a path, a folder, a glob, or a URL that pyarrow can read."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from serve_app.score.arrow import arrow
from serve_app.score.errors import ScoreError, explain_os_error
from serve_app.score.urls import file_system, is_url, local_path

MANIFEST = "manifest.json"
"""Name of the file in a folder of parts that says what they were made of."""
_WILD, _WILD_IN_URLS = "*?[", "*["


@dataclass(frozen=True)
class InputFile:
    """A file to read, with its name for messages; size and time of change show whether it has changed."""

    name: str
    size: int
    mtime_ns: int
    open: Callable[[], IO[bytes]]
    state: Callable[[], tuple[int, int]]
    """Its size and time of change now."""


def input_files(place: str, output: str = "") -> list[InputFile]:
    """The files of a path, folder, glob or URL, sorted by name.

    In folders and globs, names with a leading dot or _ are skipped, and so are `output`, its parts and those of other
    runs. A folder that matches a glob is read whole. A file that is there and also behind a link is read once.

    Raises:
        ScoreError: there is no such file, one is not a regular file, or it or the file system cannot be read.
    """
    try:
        files = _remote(place, output) if is_url(place) else _local(place, output)
    except OSError as error:
        raise explain_os_error(error, str(error.filename or place)) from None
    if not files:
        raise ScoreError(f"{place}: there is no such file")
    return files


def _local(place: str, output: str = "") -> list[InputFile]:
    path = local_path(place)
    if path.is_dir():
        paths = _walk(path)
    elif path.exists() or not any(letter in place for letter in _WILD):
        return [_local_file(path)] if path.exists() else []
    else:
        wild = next(at for at, part in enumerate(path.parts) if any(letter in part for letter in _WILD))
        base = Path(*path.parts[:wild])
        paths = sorted(_glob(base, path.parts[wild:])) if base.is_dir() else []
    own = os.path.realpath(local_path(output)) if output and not is_url(output) else ""
    real = {each: os.path.realpath(each) for each in paths}
    kept = _without_parts(real.values(), own)
    files: dict[str, Path] = {}
    for each in sorted(paths, key=Path.is_symlink):  # a file's own name before those of links to it
        files.setdefault(real[each], each)
    return [_local_file(each) for each in sorted(files.values()) if real[each] in kept]


def _walk(folder: Path) -> list[Path]:
    """All visible files below a folder, also behind links. Each folder is read once, if possible by its own name."""

    def fail(error: OSError) -> None:
        raise error

    files: list[Path] = []
    seen: set[str] = set()
    waiting = [folder]
    for start in waiting:
        for place, folders, names in os.walk(start, onerror=fail):
            here, real = Path(place), os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            files += [here / name for name in names if _visible(name)]
            folders[:] = sorted(filter(_visible, folders))
            waiting += [here / name for name in folders if (here / name).is_symlink()]
    return sorted(files)


def _glob(folder: Path, pattern: Sequence[str]) -> Iterator[Path]:
    """The files below a folder that match a glob, by segment, or are in a folder that does.

    Raises:
        OSError: a folder that may have such files cannot be read.
    """
    if pattern[0] == "**":
        yield from (file for file in _walk(folder) if _matches(file.relative_to(folder).parts, pattern))
        return
    for place in folder.iterdir():
        if not _matches([place.name], pattern[:1]):
            continue
        if len(pattern) == 1:
            yield from _walk(place) if place.is_dir() else [place]
        elif place.is_dir():
            yield from _glob(place, pattern[1:])


def _local_file(path: Path) -> InputFile:
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    if path.is_symlink() and not path.exists():
        raise ScoreError(f"{name}: the target of this link is missing; remove the link")
    if not stat.S_ISREG(path.stat().st_mode):
        raise ScoreError(f"{name}: it is not a regular file; copy its data into one")

    def state() -> tuple[int, int]:
        status = path.stat()
        return status.st_size, status.st_mtime_ns

    return InputFile(name, *state(), lambda: path.open("rb"), state)


def _remote(url: str, output: str = "") -> list[InputFile]:
    fs = arrow("pyarrow.fs")
    place, _, options = url.partition("?")
    wild = min((at for letter in _WILD_IN_URLS if (at := place.find(letter)) >= 0), default=-1)
    base = place if wild < 0 else place[: place.rindex("/", 0, wild)]
    system, path = file_system(f"{base}?{options}" if options else base)
    info = system.get_file_info(path)
    if info.type == fs.FileType.File:
        infos = [info]
    elif info.type == fs.FileType.Directory:
        below = [each for each in system.get_file_info(fs.FileSelector(path, recursive=True)) if each.is_file]
        if wild < 0:
            infos = [each for each in below if _visible(each.path.removeprefix(path))]
        else:
            pattern = (path + place[len(base) :]).split("/")
            infos = [each for each in below if _matches(each.path.split("/"), pattern)]
        own = file_system(output)[1] if is_url(output) else ""
        kept = _without_parts([each.path for each in below], own)
        infos = [each for each in infos if each.path in kept]
    else:
        infos = []
    scheme = url.partition("://")[0]
    return [
        InputFile(f"{scheme}://{each.path}", *_state(each), _opener(system, each.path), _stater(system, each.path))
        for each in sorted(infos, key=lambda each: str(each.path))
    ]


def _without_parts(paths: Collection[str], output: str) -> set[str]:
    """The paths without `output`, its parts, and the files of other folders of parts, which have a manifest."""
    folders = {path.rpartition("/")[0] for path in paths if path.endswith(f".parts/{MANIFEST}")}
    folders.add(f"{output}.parts")
    return {path for path in paths if path != output and path.rpartition("/")[0] not in folders}


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path or a folder above it matches a glob, both by segment; `**` stands for any number of segments.

    A name with a leading dot or _ matches only what begins so too.
    """
    if not pattern:
        return all(map(_visible, names))
    if pattern[0] == "**":
        return _matches(names, pattern[1:]) or (bool(names) and _visible(names[0]) and _matches(names[1:], pattern))
    return (
        bool(names)
        and (_visible(names[0]) or not _visible(pattern[0]))
        and fnmatch.fnmatchcase(names[0], pattern[0])
        and _matches(names[1:], pattern[1:])
    )


def _opener(system: Any, path: str) -> Callable[[], IO[bytes]]:
    return lambda: cast("IO[bytes]", system.open_input_file(path))


def _state(info: Any) -> tuple[int, int]:
    return info.size or 0, info.mtime_ns or 0


def _stater(system: Any, path: str) -> Callable[[], tuple[int, int]]:
    return lambda: _state(system.get_file_info(path))


def _visible(path: str) -> bool:
    return not any(name.startswith((".", "_")) for name in path.split("/") if name)
