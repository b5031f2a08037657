"""`python -m serve_app.score INPUT OUTPUT`: score the rows of files with the service's model."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import typer
from rich.console import Console

from model.errors import ModelError
from serve_app import command_line
from serve_app.local.__main__ import prepare as export_model
from serve_app.local.run_folder import NoPlace
from serve_app.score.errors import ScoreError, masked
from serve_app.score.job import LOCAL, Job, prepare
from serve_app.score.launch import Child, child
from serve_app.score.progress import Display

RESUME = "finished parts are kept; run the same command again to continue"


def main(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="File, folder, glob in quotes, or URL.")],
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="File to write; its ending names the format.")],
    column: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    address: Annotated[
        str, typer.Option(help="Ray to run on: local starts one for this run; or auto, or ray://host:10001.")
    ] = LOCAL,
    threads: Annotated[int, typer.Option(min=1, max=64, help="CPUs of each worker.")] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers; by default as free CPUs allow.")] = None,
    write_cache: Annotated[  # noqa: FBT002
        bool, typer.Option("--write-cache", help="Also write to the Redis of REDIS_URL.")
    ] = False,
) -> None:
    """Score each row of INPUT and write it to OUTPUT with label, score and one column for each label."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    command_line.handle_signals()
    job = Job(source, output, column, address, threads, workers, write_cache)
    try:
        _check(job, console)  # before any work; the child prepares again, since an export changes the fingerprint
        export_model(console)
        status = _run(job, console)
    except (ScoreError, ModelError, NoPlace) as error:
        console.print(f"error: {error}", markup=False)
        status = 1
    except command_line.Stopped as stopped:
        status = _stopped(stopped, console)
    raise typer.Exit(status)


def _check(job: Job, console: Console) -> None:
    """Check the job. A signal ends the process at once.

    pyarrow's C++ may try a remote place for minutes. So it runs in another thread, for Python handles signals only
    between its own steps in the main one.

    Raises:
        ScoreError: the job cannot start.
    """
    with ThreadPoolExecutor(1) as executor:
        try:
            executor.submit(prepare, job).result()
        except command_line.Stopped as stopped:
            command_line.ignore_signals()
            os._exit(_stopped(stopped, console))  # nothing was written, and an exit in order would wait for the thread


def _stopped(stopped: command_line.Stopped, console: Console) -> int:
    console.print(f"{stopped}: stopped; {RESUME}")
    return stopped.status


def _run(job: Job, console: Console) -> int:
    began = time.monotonic()
    done: dict[str, Any] | None = None
    with child(job, dict(os.environ)) as process:
        try:
            with Display(console) as display:
                for event in process.events():
                    if "error" in event:
                        raise ScoreError(event["error"])
                    if "stage" in event:
                        display.stage(event["stage"])
                    if "progress" in event:
                        display.progress(event["progress"])
                    if "done" in event:
                        done = event["done"] or {}
            if done is None:
                return _died(process, console)
        finally:
            command_line.ignore_signals()
    console.print(_summary(job, done, time.monotonic() - began), markup=False)
    return 0


def _summary(job: Job, done: dict[str, Any], seconds: float) -> str:
    if not done:
        return f"{masked(job.output)}: already finished"
    words = f"{masked(job.output)}: {done['rows']:,} rows"
    if done["kept_rows"]:
        words += f", {done['kept_rows']:,} of them from an earlier run"
    words += f", {done['errors']:,} with an error, {done['truncated']:,} truncated"
    return f"{words}, in {seconds:.0f} s ({(done['rows'] - done['kept_rows']) / seconds:,.0f} rows/s)"


def _died(process: Child, console: Console) -> int:
    status = process.status
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    console.print(f"error: the process that runs Ray {how}; {RESUME}")
    if lines := process.last_lines():
        console.print(lines, markup=False)
    return 1


if __name__ == "__main__":
    command_line.run(main)
