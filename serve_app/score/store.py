"""Stores for parts and output, local or in an object store. Each file is written atomically."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol, cast

from serve_app.score.arrow import arrow
from serve_app.score.errors import ScoreError, explain_os_error
from serve_app.score.places import file_system, is_url, local_path

_UNFINISHED = ".half"
"""Suffix of a file that is being written."""
_ATOMIC = ("s3", "gcs", "abfs")
"""pyarrow's file systems that show a file only once it is complete."""


class Store(Protocol):
    """The folder of an output's parts, and the output beside it."""

    output: str
    """Path or URL of the output."""

    def exists(self) -> bool:
        """Whether the output exists."""
        ...

    def open(self) -> None:
        """Make the folder, and lock it against other runs."""
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
        """A stream whose bytes become the output if the block ends without an error."""
        ...

    def finish(self) -> None:
        """Remove the files of the folder in the order of their names, then the folder."""
        ...

    def close(self) -> None:
        """Release the lock."""
        ...


def store_of(output: str) -> Store:
    """The store for a path or URL.

    Raises:
        ScoreError: the folder or file system of the output does not exist.
    """
    return RemoteStore(output) if is_url(output) else LocalStore(local_path(output))


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
            return self._output.exists()

    def open(self) -> None:
        """Make the folder, and lock it against other runs."""
        with self._errors():
            self.folder.mkdir(exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ScoreError(f"{self.folder}: another run uses it; wait until that has ended") from None

    def names(self) -> list[str]:
        """The names of the complete files in the folder, sorted."""
        with self._errors():
            names = [each.name for each in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(name for name in names if name != "lock" and not name.endswith(_UNFINISHED))

    def read(self, name: str) -> bytes:
        """The bytes of a file in the folder."""
        with self._errors():
            return (self.folder / name).read_bytes()

    def put(self, name: str, data: bytes) -> None:
        """Write a file in the folder, atomically."""
        unfinished = self.folder / (name + _UNFINISHED)
        with self._errors():
            with unfinished.open("wb") as file:
                file.write(data)
                _sync(file)
            unfinished.replace(self.folder / name)
            _sync_folder(self.folder)

    @contextlib.contextmanager
    def assemble(self) -> Iterator[IO[bytes]]:
        """A stream whose bytes become the output if the block ends without an error."""
        unfinished = self.folder / ("output" + _UNFINISHED)
        with self._errors():
            with unfinished.open("wb") as file:
                yield file
                _sync(file)
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
        return sum((self.folder / name).stat().st_size for name in self.names())

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain_os_error(error, str(error.filename or self.folder)) from None


class RemoteStore:
    """Folder and output in a file system of pyarrow. It has no lock: two runs at once do the same work twice."""

    def __init__(self, output: str) -> None:
        self.output = output
        self._system, self._output = file_system(output)
        self._folder = self._output + ".parts"
        self._atomic = self._system.type_name in _ATOMIC

    def exists(self) -> bool:
        """Whether the output exists."""
        with self._errors(self._output):
            info = self._system.get_file_info(self._output)
        return bool(info.type != arrow("pyarrow.fs").FileType.NotFound)

    def open(self) -> None:
        """Make the folder."""
        with self._errors(self._folder):
            self._system.create_dir(self._folder, recursive=True)

    def names(self) -> list[str]:
        """The names of the complete files in the folder, sorted."""
        selector = arrow("pyarrow.fs").FileSelector(self._folder, allow_not_found=True)
        with self._errors(self._folder):
            names = [str(each.base_name) for each in self._system.get_file_info(selector) if each.is_file]
        return sorted(name for name in names if not name.endswith(_UNFINISHED))

    def read(self, name: str) -> bytes:
        """The bytes of a file in the folder."""
        with self._errors(name), self._system.open_input_stream(f"{self._folder}/{name}") as file:
            data: bytes = file.read()
        return data

    def put(self, name: str, data: bytes) -> None:
        """Write a file in the folder, atomically."""
        with self._errors(name), self._write(f"{self._folder}/{name}") as file:
            file.write(data)

    @contextlib.contextmanager
    def assemble(self) -> Iterator[IO[bytes]]:
        """A stream whose bytes become the output if the block ends without an error."""
        with self._errors(self._output), self._write(self._output) as file:
            yield cast("IO[bytes]", file)

    def finish(self) -> None:
        """Remove the files of the folder in the order of their names, about, then the folder."""
        with self._errors(self._folder):
            self._system.delete_dir(self._folder)

    def close(self) -> None:
        """Do nothing, since there is no lock."""

    @contextlib.contextmanager
    def _write(self, path: str) -> Iterator[Any]:
        target = path if self._atomic else path + _UNFINISHED
        stream = self._system.open_output_stream(target)
        try:
            yield stream
        except BaseException:
            with contextlib.suppress(OSError):
                stream.close()  # its destructor would do so later, and complete what is there
                self._system.delete_file(target)
            raise
        stream.close()
        if not self._atomic:
            self._system.move(target, path)

    @contextlib.contextmanager
    def _errors(self, place: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain_os_error(error, place) from None


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
