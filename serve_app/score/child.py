"""`python -m serve_app.score.child`: the process that has Ray; it reads a job from stdin and tells what happens.

It tells it in JSON lines on its standard output: {"stage": ...}, {"progress": ...}, {"error": ...}, {"done": ...}.
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
"""Of Ray's object store: texts and scores of the parts under way are all that is in it."""


class Teller:
    """Tells the parent process what happens, one JSON object a line."""

    def __init__(self) -> None:
        # what Ray or anybody else prints goes to the log instead
        self._pipe = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)

    def tell(self, **what: Any) -> None:
        """Tell it, if there is still somebody."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.write(orjson.dumps(what) + b"\n")

    def progress(self, progress: Progress) -> None:
        """How far the run has come."""
        self.tell(progress=progress.to_dict())


def main() -> int:
    """Run the job; the exit status is 0 once the output has its name."""
    forbid_core_dumps()
    os.nice(NICENESS)  # as all that it starts: whatever answers users on this machine goes first
    job = Job.load(sys.stdin.buffer.read())
    teller = Teller()
    try:
        prepared = prepare(job)
        with contextlib.closing(prepared.store):
            if not prepared.store.exists():
                manifest.begin(prepared.store, prepared.manifest, prepared.parts_place)
                _run(job, prepared, teller)
            else:  # it was about to remove the parts
                prepared.store.finish()
                teller.tell(done=None)
    except ScoreError as error:
        teller.tell(error=str(error))
        return 1
    finally:
        ray.shutdown()
    return 0


def _run(job: Job, prepared: Prepared, teller: Teller) -> None:
    teller.tell(stage="starting Ray")
    cpus = _connect(job.address)
    workers = job.workers or max(1, cpus // job.threads)
    teller.tell(stage="loading the model")
    pool = Pool(prepared.settings, prepared.identity, job.threads, workers)
    pool.wait()
    teller.tell(stage=SCORING)
    shared: SharedAnswers = NoAnswers()
    if prepared.settings.redis_url is not None:
        shared = RedisAnswers(prepared.settings, prepared.identity, writes=job.write_cache)
    try:
        run = Run(prepared.source, prepared.form, prepared.identity, prepared.store, pool, shared)
        parts = run.score(teller.progress)
    finally:
        shared.close()
    teller.tell(stage="putting the parts together")
    run.assemble(parts)
    teller.tell(done=run.progress.to_dict())


def _connect(address: str) -> int:
    """Start or join Ray; how many CPUs are free in it.

    Raises:
        ScoreError: there is none at this address.
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


def _check_listens(address: str) -> None:
    """Refuse at once what Ray would try for half a minute.

    Raises:
        ScoreError: nobody listens there.
    """
    host, _, port = address.removeprefix(_CLIENT).partition("?")[0].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "an address is ray://host:10001"
        raise ScoreError(f"Ray cannot be reached at {address}: {reason}") from None


if __name__ == "__main__":
    sys.exit(main())
