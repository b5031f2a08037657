"""The store for parts and output, and the one on this machine. Each file is written atomically."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from serve_app.score.errors import ScoreError, explain_os_error

DONE = "done"
"""Name of the file that exists once all parts are finished and the output is being written."""
UNFINISHED = ".half"
"""Suffix of a file that is being written."""


class Store(Protocol):
    """The folder of an output's parts, and the output beside it."""

    output: str
    """Path or URL of the output."""

    def exists(self) -> bool:
        """Whether the output exists."""
        ...

    def has_other_output(self) -> bool:
        """Whether a file is in the output's place that no run with these parts has written."""
        ...

    def open(self) -> None:
        """Make the folder, and keep other runs from it."""
        ...

    def names(self) -> list[str]:
        """The names of the complete files in the folder, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes of a file in the folder."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Write a file in the folder, atomically."""
        ...

    def assemble(self) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A stream whose bytes become the output if the block ends without an error.

        Raises:
            ScoreError: another file is in the output's place.
        """
        ...

    def finish(self) -> None:
        """Remove the files of the folder in the order of their names, then the folder."""
        ...

    def close(self) -> None:
        """Release the lock."""
        ...


class LocalStore:
    """Folder and output on this machine's file system."""

    def __init__(self, output: Path) -> None:
        self.output = str(output)
        self._output = output
        self.folder = output.with_name(output.name + ".parts")
        self._lock: int | None = None
        with self._errors():
            is_folder = output.parent.is_dir()
        if not is_folder:
            raise ScoreError(f"{output}: there is no folder {output.parent}; make it first")

    def exists(self) -> bool:
        """Whether the output exists."""
        with self._errors():
            # the output would replace a link without a target
            return self._output.exists() or self._output.is_symlink()

    def has_other_output(self) -> bool:
        """Whether a file is in the output's place that no run with these parts has written."""
        with self._errors():
            return self.exists() and not (DONE in self.names() and self.read(DONE) == _stamp(self._output))

    def open(self) -> None:
        """Make the folder, lock it against other runs, and remove unfinished files of a killed one."""
        with self._errors():
            self.folder.mkdir(exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ScoreError(f"{self.folder}: another run uses it; wait until that has ended") from None
            for unfinished in self.folder.glob(f"*{UNFINISHED}"):
                unfinished.unlink()

    def names(self) -> list[str]:
        """The names of the complete files in the folder, sorted.

        Raises:
            ScoreError: a file is in the folder's place.
        """
        with self._errors():
            if not self.folder.is_dir() and os.path.lexists(self.folder):
                raise ScoreError(f"{self.folder}: it is no folder, and the parts need this name; move it away")
            names = [each.name for each in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(name for name in names if name != "lock" and not name.endswith(UNFINISHED))

    def read(self, name: str) -> bytes:
        """The bytes of a file in the folder."""
        with self._errors():
            return (self.folder / name).read_bytes()

    def put(self, name: str, data: bytes) -> None:
        """Write a file in the folder, atomically."""
        with self._unfinished(name) as unfinished:
            with unfinished.open("wb") as file:
                file.write(data)
                _sync(file)
            unfinished.replace(self.folder / name)
            _sync_folder(self.folder)

    @contextlib.contextmanager
    def assemble(self) -> Iterator[IO[bytes]]:
        """A stream whose bytes become the output if the block ends without an error."""
        with self._unfinished("output") as unfinished:
            with unfinished.open("wb") as file:
                yield file
                _sync(file)
            if self.has_other_output():
                raise other_output(self.output)
            self._output.unlink(missing_ok=True)  # of a killed run; the new stamp would not fit it
            self.put(DONE, _stamp(unfinished))  # which a later run knows the output by
            unfinished.replace(self._output)
            _sync_folder(self._output.parent)

    def finish(self) -> None:
        """Remove the files of the folder in the order of their names, then the folder."""
        with self._errors():
            for name in self.names():
                (self.folder / name).unlink()
            shutil.rmtree(self.folder)

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def free_bytes(self) -> int:
        """Free bytes on the disk of the output."""
        return shutil.disk_usage(self._output.parent).free

    def used_bytes(self) -> int:
        """Bytes of the files in the folder."""
        with self._errors():
            return sum(each.stat().st_size for each in self.folder.iterdir()) if self.folder.is_dir() else 0

    @contextlib.contextmanager
    def _unfinished(self, name: str) -> Iterator[Path]:
        """The path for a file until it is complete; removes the file after an error."""
        path = self.folder / (name + UNFINISHED)
        with self._errors():
            try:
                yield path
            except BaseException:
                with contextlib.suppress(OSError):
                    path.unlink()
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain_os_error(error, str(error.filename or self.folder)) from None


def other_output(output: str) -> ScoreError:
    """The error for a file that came to the output's place during the run."""
    return ScoreError(
        f"{output}: another file came there during the run; move it away, then run the same command again to continue"
    )


def _stamp(file: Path) -> bytes:
    """Size and time of change, which a file keeps when it is renamed."""
    status = file.lstat()
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
