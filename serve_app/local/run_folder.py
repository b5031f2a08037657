"""A folder for a run's files except its log, so that two runs on one machine share nothing."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PREFIX = "sentiment-"
PLACE = Path("/tmp")  # noqa: S108  (for a folder of our own, mode 0700)
"""Not TMPDIR: a socket's path has at most 107 characters (HAProxy's 97), and Ray uses most of them."""

_TRIES, _PAUSE_S = 20, 0.1
_OWNER, _PORTS, _LOCK = "owner", "ports", "lock"


class NoPlace(Exception):
    """No folder can be used for a run."""


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """A new folder for this user alone, removed at the end; folders left by runs that died are removed first.

    Raises:
        NoPlace: no folder can be made.
    """
    place = _base_folder()
    with _locked(place):
        for folder in place.glob(f"{PREFIX}*"):
            if _is_dead(folder):
                _remove(folder)
        with room():
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            owner = (folder / _OWNER).open("w", encoding="ascii")
        fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        _remove(folder)
        owner.close()


def reserve(folder: Path, ports: Iterable[int]) -> set[int]:
    """Reserve those of the ports that no run of this user has, while the folder exists, and return them.

    A run binds its ports seconds after it has found them free, so two that start together could choose the same.
    """
    place = folder.parent
    with _locked(place):
        new = set(ports)
        for run in place.glob(f"{PREFIX}*/{_PORTS}"):
            if _is_ours(run.parent):  # anybody may make a folder of such a name
                new -= _read(run)
        mine = _read(folder / _PORTS) | new
        with room():
            (folder / _PORTS).write_text(" ".join(map(str, sorted(mine))), encoding="ascii")
    return new


def _base_folder() -> Path:
    if not os.access(PLACE, os.W_OK | os.X_OK):
        raise NoPlace(f"{PLACE} cannot be written to, and a run keeps its sockets there; chmod 1777 {PLACE}")
    if os.statvfs(PLACE).f_flag & os.ST_NOEXEC:
        raise NoPlace(f"{PLACE} is mounted noexec, and a run starts HAProxy there; mount -o remount,exec {PLACE}")
    return PLACE


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold a lock among this user's runs; its file is removed afterwards."""
    file = place / f".{PREFIX}{os.getuid()}.{_LOCK}"
    descriptor = _lock(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(file: Path) -> int:
    """A descriptor of the file at this path; the lock is held while it is open."""
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:  # another user may have made a file of that name
            if error.errno == errno.ENOSPC:
                raise _full() from None
            raise NoPlace(f"{file} cannot be opened ({error.strerror}); remove it, as root if need be") from None
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(file.lstat(), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)  # the former holder of the lock has removed the file


@contextlib.contextmanager
def room() -> Iterator[None]:
    """Turn the error of a full disk into NoPlace."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _full() from None
        raise


def _full() -> NoPlace:
    return NoPlace(f"{PLACE} is full, and a run keeps its files there; remove what is not needed")


def _is_ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _is_dead(folder: Path) -> bool:
    """Whether a run of this user made the folder and has ended: its lock on the owner file ended with it."""
    try:
        if not _is_ours(folder):
            return False
        if not (folder / _OWNER).exists():  # Ray's processes wrote into it after its removal
            return [path.name for path in folder.iterdir()] == ["ray"]
        with (folder / _OWNER).open("r+", encoding="ascii") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(folder: Path) -> None:
    """Remove it, also if processes that are about to end still write into it."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE_S)


def _read(file: Path) -> set[int]:
    try:
        return {int(port) for port in file.read_text(encoding="ascii").split()}
    except (OSError, ValueError):
        return set()
