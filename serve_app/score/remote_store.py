"""The store in an object store, or in another file system of pyarrow."""

from __future__ import annotations

import contextlib
import ctypes
import uuid
from collections.abc import Iterator
from typing import IO, Any, cast

from serve_app.score.arrow import arrow
from serve_app.score.errors import ScoreError, explain_os_error
from serve_app.score.store import DONE, UNFINISHED, other_output
from serve_app.score.urls import file_system

_ATOMIC = ("s3", "gcs", "abfs")
"""pyarrow's file systems that show a file only once it is complete."""
_OWNER = "owner"
"""Name of the file with the token of the run that began last."""


class RemoteStore:
    """Folder and output in a file system of pyarrow.

    It cannot be locked. So the run that began last owns it, and an earlier one ends as soon as it notices: it may have
    been killed, which nobody can see from here.
    """

    def __init__(self, output: str) -> None:
        self.output = output
        self._system, self._output = file_system(output)
        self._folder = self._output + ".parts"
        self._place = output + ".parts"
        self._atomic = self._system.type_name in _ATOMIC
        self._token = uuid.uuid4().hex.encode()

    def exists(self) -> bool:
        """Whether the output exists."""
        with self._errors(self.output):
            info = self._system.get_file_info(self._output)
        return bool(info.type != arrow("pyarrow.fs").FileType.NotFound)

    def has_other_output(self) -> bool:
        """Whether a file is in the output's place, and no run with these parts has begun to write there."""
        return self.exists() and DONE not in self.names()

    def open(self) -> None:
        """Make the folder, and become its owner."""
        with self._errors(self._place):
            self._system.create_dir(self._folder, recursive=True)
            with self._write(f"{self._folder}/{_OWNER}") as file:
                file.write(self._token)

    def names(self) -> list[str]:
        """The names of the complete files in the folder, sorted."""
        selector = arrow("pyarrow.fs").FileSelector(self._folder, allow_not_found=True)
        with self._errors(self._place):
            names = [str(each.base_name) for each in self._system.get_file_info(selector) if each.is_file]
        return sorted(name for name in names if name != _OWNER and not name.endswith(UNFINISHED))

    def read(self, name: str) -> bytes:
        """The bytes of a file in the folder."""
        with self._errors(f"{self._place}/{name}"), self._system.open_input_stream(f"{self._folder}/{name}") as file:
            data: bytes = file.read()
        return data

    def put(self, name: str, data: bytes) -> None:
        """Write a file in the folder, atomically."""
        self._check_owner()
        with self._errors(f"{self._place}/{name}"), self._write(f"{self._folder}/{name}") as file:
            file.write(data)

    @contextlib.contextmanager
    def assemble(self) -> Iterator[IO[bytes]]:
        """A stream whose bytes become the output if the block ends without an error."""
        self._check_owner()
        if self.has_other_output():
            raise other_output(self.output)
        self.put(DONE, b"")
        with self._errors(self.output), self._write(self._output) as file:
            yield cast("IO[bytes]", file)
            self._check_owner()

    def finish(self) -> None:
        """Remove the files of the folder in the order of their names, about, then the folder."""
        self._check_owner()
        with self._errors(self._place):
            self._system.delete_dir(self._folder)

    def close(self) -> None:
        """Do nothing, since there is no lock."""

    def _check_owner(self) -> None:
        """Raise an error if another run has begun since, also if it has ended and removed the folder."""
        with self._errors(self._place):
            try:
                with self._system.open_input_stream(f"{self._folder}/{_OWNER}") as file:
                    owner = file.read()
            except FileNotFoundError:
                owner = None
        if owner != self._token:
            raise ScoreError(
                f"{self._place}: another run of the same command began later, and this one leaves the output to it;"
                " if that has failed, run the command again"
            )

    @contextlib.contextmanager
    def _write(self, path: str) -> Iterator[Any]:
        target = path if self._atomic else path + UNFINISHED
        stream = self._system.open_output_stream(target)
        try:
            yield stream
        except BaseException:
            # an extra reference for ever, since closing the stream, as its destructor does, completes what is there
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(stream))
            with contextlib.suppress(OSError, ScoreError):
                self._check_owner()  # otherwise the target may be another run's
                stream.close()
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
