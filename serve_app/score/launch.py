"""Starts the process that runs Ray, passes its events on, and ends it with all its children."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from serve_app.local.log_file import last_lines
from serve_app.local.processes import adopt_orphans, end_with_parent, stop
from serve_app.local.run_folder import run_folder
from serve_app.score.environment import own_ray, with_path
from serve_app.score.job import LOCAL, Job

_LOG = "score.log"
_LAST_LINES = 5


class Child:
    """The process that runs Ray."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def events(self) -> Iterator[dict[str, Any]]:
        """Its events, until it ends."""
        assert self._process.stdout is not None  # noqa: S101  (it was made with a pipe)
        for line in self._process.stdout:
            yield orjson.loads(line)
        self._process.wait()

    @property
    def status(self) -> int:
        """Its exit status, or minus the number of the signal that killed it."""
        return self._process.wait()

    def last_lines(self) -> str:
        """The last lines of the log of this process and of Ray."""
        return last_lines(self._log, _LAST_LINES)


@contextlib.contextmanager
def child(job: Job, environment: dict[str, str]) -> Iterator[Child]:
    """Start the process for this job. At the end of the block it is stopped, with every process that it started.

    Raises:
        NoPlace: no folder is fit for Ray's files.
    """
    adopt_orphans()
    with run_folder() as folder:
        own = own_ray(folder, environment) if job.address == LOCAL else {**environment, **with_path(environment)}
        log = folder / _LOG
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "serve_app.score.child"],
                env=own,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # the terminal's Ctrl-C reaches only this process
                preexec_fn=end_with_parent,  # noqa: PLW1509  (no thread has been started yet)
            )
        try:
            assert process.stdin is not None  # noqa: S101  (it was made with a pipe)
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(job.dump())
            yield Child(process, log)
        finally:
            stop(process)
            if process.stdout is not None:
                process.stdout.close()
