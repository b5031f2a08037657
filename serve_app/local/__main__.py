"""Runs the service on this machine until Ctrl-C: checks first, starts Serve in HAProxy mode, prints its address."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # until `main` sets its own handler: Ctrl-C during the imports, which take a second, would print a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import psutil
import typer
import yaml
from rich.console import Console
from rich.markup import escape

from model.cpu import choose_precision
from model.directory import open_directory
from model.errors import ModelError
from model.export import export, is_exported
from serve_app import command_line
from serve_app.core_dumps import forbid_core_dumps
from serve_app.drain import drain
from serve_app.haproxy import LOOPBACK
from serve_app.local.check import check
from serve_app.local.config import local_config
from serve_app.local.cpus import usable_cpus
from serve_app.local.deploying import Deploying
from serve_app.local.environment import DRAIN_FILE, ray_status, serve_environment
from serve_app.local.log_file import NoLog, last_lines, open_log
from serve_app.local.loopback import ask
from serve_app.local.ports import free_port, own_address
from serve_app.local.processes import adopt_orphans, end_with_parent, start, stop
from serve_app.local.run_folder import NoPlace, reserve, room, run_folder
from serve_app.settings import Settings

START_TIMEOUT_S = 120.0
LAST_LINES = 15


class Stopped(command_line.Stopped):
    """A signal asks this process to end."""

    @property
    def status(self) -> int:
        """The exit status: 0 after Ctrl-C, the normal way to end it."""
        return 0 if self.number == signal.SIGINT else super().status


def main(
    port: Annotated[int, typer.Option(min=1, max=65535, envvar="PORT", help="Port of the service.")] = 8000,
    bind: Annotated[
        str, typer.Option(envvar="BIND", help="IP address that the port is opened on; 0.0.0.0: all of them.")
    ] = LOOPBACK,
    log: Annotated[Path, typer.Option(help="Log file of Ray and Serve.")] = Path("build/serve.log"),
    replicas: Annotated[
        int | None,
        typer.Option(min=1, max=64, envvar="REPLICAS", help="Replicas of each kind; default: by load."),
    ] = None,
    drain_s: Annotated[
        float, typer.Option(min=0, envvar="DRAIN_S", help="Seconds of answering with health at 503 after SIGTERM.")
    ] = 0,
) -> None:
    """Run the service on this machine until Ctrl-C."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    command_line.handle_signals(_raise_stopped)
    try:
        problems = check(port, bind)
        for problem in problems:
            console.print(f"error: {problem}", markup=False)
        if problems:
            raise typer.Exit(1)
        if "MAKELEVEL" in os.environ:
            end_with_parent()
        adopt_orphans()
        forbid_core_dumps()
        prepare(console)
        status = _run(bind, port, log, replicas, drain_s, console)
    except (ModelError, NoPlace, NoLog) as error:
        console.print(f"error: {error}", markup=False)
        status = 1
    except Stopped as stopped:
        console.print(f"{stopped}: stopping")
        status = stopped.status
    raise typer.Exit(status)


def prepare(console: Console) -> None:
    """Export the model for the precision that will be served, unless that is done already."""
    settings = Settings()
    directory = open_directory(settings.model_dir)
    precision = choose_precision(settings.precision)
    if precision != "fp32" and not is_exported(directory):
        with console.status(escape(f"preparing {directory.path} for {precision}")):
            export(directory)


def _run(bind: str, port: int, log: Path, replicas: int | None, drain_s: float, console: Console) -> int:
    with run_folder() as folder:
        if not reserve(folder, [port]):
            console.print(f"error: port {port} belongs to another run; choose another: make run PORT={free_port()}")
            return 1
        log, output = open_log(log, port)
        config = folder / "serve_config.yaml"
        with room():
            config.write_text(yaml.safe_dump(local_config(port, usable_cpus(), replicas)), encoding="utf-8")
            environment = serve_environment(folder, bind)
        # a cluster of its own: without the address Serve joins one that runs on this machine, and ends its applications
        command = [sys.executable, "-m", "ray.serve.scripts", "run", "--address", "local", str(config)]
        url = f"http://{own_address(bind)}:{port}/project"
        began = time.monotonic()
        process: subprocess.Popen[bytes] | None = None
        with output:
            try:
                process = start(command, environment, output)
                with console.status(escape(f"starting Serve (log: {log})")):
                    _wait_until_healthy(process, url, log)
                console.print(f"Ready after {time.monotonic() - began:.0f} s: {url}/docs (log: {log})", markup=False)
                console.print(f"""Try: curl -s {url}/predict -d '{{"text": ["I love you."]}}'""", markup=False)
                console.print(ray_status(environment), markup=False)
                console.print("Ctrl-C stops it.")
                process.wait()
                return _failed(f"Serve ended by itself with status {process.returncode}", log, console)
            except TimeoutError as error:
                return _failed(str(error), log, console)
            except Stopped as stopped:
                console.print(f"{stopped}: stopping")
                if stopped.number == signal.SIGTERM:
                    _drain(Path(environment[DRAIN_FILE]), drain_s)
                return stopped.status
            finally:
                command_line.ignore_signals()
                if process is not None:
                    stop(process)


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    deploying = Deploying(log)
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise TimeoutError(f"Serve ended with status {process.returncode} before it was ready")
        if deploying.given_up():
            raise TimeoutError("Serve could not deploy the application")
        try:
            with ask(f"{url}/health", 2):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"no prediction succeeded within {START_TIMEOUT_S:.0f} s")


def _drain(file: Path, seconds: float) -> None:
    """Turn health to 503, answer requests for so many seconds more, then finish those in flight."""
    with contextlib.suppress(Stopped), _made(file):  # a second signal ends the drain at once
        file.touch()
        drain(seconds, lambda: psutil.Process().children(recursive=True))


@contextlib.contextmanager
def _made(file: Path) -> Iterator[None]:
    """Remove the file afterwards, unless it existed before."""
    there = file.exists()
    try:
        yield
    finally:
        if not there:
            file.unlink(missing_ok=True)


def _failed(why: str, log: Path, console: Console) -> int:
    console.print(f"error: {why}; the end of {log}:", markup=False)
    console.print(last_lines(log, LAST_LINES), markup=False)
    return 1


def _raise_stopped(number: int, _: FrameType | None) -> None:
    raise Stopped(number)


if __name__ == "__main__":
    command_line.run(main)
