"""`python -m serve_app.score.child`: the process that runs Ray. It reads a job from stdin and reports events.

An event is one JSON line on its standard output: {"stage": ...}, {"progress": ...}, {"error": ...} or {"done": ...}.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from typing import Any

import orjson
import ray

from serve_app.core_dumps import forbid_core_dumps
from serve_app.idle_priority import NICENESS
from serve_app.local.cpus import usable_cpus
from serve_app.score import manifest
from serve_app.score.driver import Progress, Run
from serve_app.score.errors import ScoreError
from serve_app.score.job import LOCAL, SCORING, Job, Prepared, prepare
from serve_app.score.pool import Pool
from serve_app.score.shared import NoAnswers, RedisAnswers, SharedAnswers

_CLIENT, _CONNECT_S = "ray://", 5.0

STORE_BYTES = 100_000_000
"""Size of Ray's object store, which holds only the texts and scores of the parts in progress."""


class Reporter:
    """Sends events to the parent process, one JSON object a line."""

    def __init__(self) -> None:
        # everything that Ray and other libraries print goes to the log instead
        self._pipe = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)

    def send(self, **event: Any) -> None:
        """Send an event; does nothing if the parent process has ended."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.write(orjson.dumps(event) + b"\n")

    def progress(self, progress: Progress) -> None:
        """Send how far the run has come."""
        self.send(progress=progress.to_dict())


def main() -> int:
    """Run the job. Returns exit status 0 if the output was written, otherwise 1."""
    forbid_core_dumps()
    os.nice(NICENESS)  # child processes inherit it: a service on this machine gets the CPU first
    job = Job.load(sys.stdin.buffer.read())
    reporter = Reporter()
    try:
        prepared = prepare(job)
        with contextlib.closing(prepared.store):
            if manifest.is_finished(prepared.store, prepared.manifest):
                manifest.clear(prepared.store)
                reporter.send(done=None)
            else:
                manifest.begin(prepared.store, prepared.manifest, prepared.parts_place)
                _run(job, prepared, reporter)
    except ScoreError as error:
        reporter.send(error=str(error))
        return 1
    finally:
        ray.shutdown()
    return 0


def _run(job: Job, prepared: Prepared, reporter: Reporter) -> None:
    reporter.send(stage="starting Ray")
    cpus = _connect(job.address)
    _check_threads(job.threads)
    workers = job.workers or max(1, cpus // job.threads)
    reporter.send(stage="loading the model")
    pool = Pool(prepared.settings, prepared.identity, job.threads, workers)
    pool.wait()
    reporter.send(stage=SCORING)
    shared: SharedAnswers = NoAnswers()
    if prepared.settings.redis_url is not None:
        shared = RedisAnswers(prepared.settings, prepared.identity, writes=job.write_cache)
    try:
        run = Run(prepared.source, prepared.form, prepared.identity, prepared.store, pool, shared)
        parts = run.score(reporter.progress)
    finally:
        shared.close()
    reporter.send(stage="putting the parts together")
    run.assemble(parts)
    reporter.send(done=run.progress.to_dict())


def _connect(address: str) -> int:
    """Start or join Ray, and return the number of its free CPUs.

    Raises:
        ScoreError: no Ray answers at this address.
    """
    if address.startswith(_CLIENT):
        _check_listens(address)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        options |= {"num_cpus": usable_cpus(), "include_dashboard": False, "object_store_memory": STORE_BYTES}
    try:
        ray.init(address, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ScoreError(f"Ray cannot be reached at {address}: {reason[:200]}") from None
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return int(free.get("CPU", 0))


def _check_threads(threads: int) -> None:
    """Raise an error if no node has as many CPUs, since Ray would wait for one for ever.

    A cluster without any CPU passes, since it may add nodes for the workers.

    Raises:
        ScoreError: the largest node has fewer CPUs.
    """
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    largest = max((int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]), default=0)
    if 0 < largest < threads:
        raise ScoreError(f"--threads {threads}: Ray's largest node has {largest} CPUs; use --threads {largest} or less")


def _check_listens(address: str) -> None:
    """Fail within `_CONNECT_S`, since Ray would retry for half a minute.

    Raises:
        ScoreError: nothing listens at this address.
    """
    host, _, port = address.removeprefix(_CLIENT).partition("?")[0].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "write it as ray://host:10001"
        raise ScoreError(f"Ray cannot be reached at {address}: {reason}") from None


if __name__ == "__main__":
    sys.exit(main())
