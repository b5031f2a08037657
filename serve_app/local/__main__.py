"""Run the service on this machine until Ctrl-C: check first, start Serve in HAProxy mode, say where it is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated
from urllib.error import URLError
from urllib.request import urlopen

import typer
import yaml
from pydantic import ValidationError
from rich.console import Console

from model.cpu import choose_precision
from model.directory import open_directory
from model.errors import ModelError
from model.export import export, is_exported
from serve_app.api_keys import BadKeysFile, read_keys
from serve_app.haproxy import LOOPBACK
from serve_app.local.config import local_config
from serve_app.local.cpus import usable_cpus
from serve_app.local.deploying import given_up
from serve_app.local.drain import drain
from serve_app.local.open_files import connections, raise_limit
from serve_app.local.ports import free_port, holder, is_free, own_address, side_ports
from serve_app.local.processes import adopt_orphans, end_with_parent, haproxy_of_ours, start, stop
from serve_app.settings import Settings, explain

DEFAULTS = {
    # each is a measured choice, see docs/performance.md; a variable that is set already wins
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_LOG_TO_STDERR": "1",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response 0rtt-rejected junk-response",
    "RAY_SERVE_HAPROXY_RETRIES": "3",
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "60",
    # the replicas then count requests and times themselves, under the same names; HAProxy would write a line for each,
    # for its actor to parse
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
    # Ray would have all its workers stand back behind every other process; the engine's threads do so themselves
    "RAY_worker_niceness": "0",
    # gRPC's many threads would have glibc make arenas that grow apart, and give nothing back
    "MALLOC_ARENA_MAX": "2",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray then takes loopback for this node's address, on any system, and opens its ports there alone
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
START_TIMEOUT_S = 120.0
LAST_LINES = 15
LINE_WIDTH = 300


class Stopped(Exception):
    """A signal asked us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def main(
    port: Annotated[int, typer.Option(min=1, max=65535, envvar="PORT", help="Port of the service.")] = 8000,
    bind: Annotated[
        str, typer.Option(envvar="BIND", help="IP address that the port is opened on; 0.0.0.0 is all of them.")
    ] = LOOPBACK,
    log: Annotated[Path, typer.Option(help="Where Ray and Serve write.")] = Path("build/serve.log"),
    replicas: Annotated[
        int | None,
        typer.Option(min=1, max=64, envvar="REPLICAS", help="Replicas of each kind; without it, what load asks for."),
    ] = None,
    drain_s: Annotated[
        float, typer.Option(min=0, envvar="DRAIN_S", help="Seconds of answering with health at 503 after SIGTERM.")
    ] = 0,
) -> None:
    """Run the service on this machine until Ctrl-C."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    problems = check(port, bind)
    for problem in problems:
        console.print(f"error: {problem}", markup=False)
    if problems:
        raise typer.Exit(1)
    if "MAKELEVEL" in os.environ:
        end_with_parent()
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and `&` have said what they want
            signal.signal(number, _raise_stopped)
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        prepare(console)
    except ModelError as error:
        console.print(f"error: {error}", markup=False)
        raise typer.Exit(1) from None
    raise typer.Exit(_run(bind, port, log, replicas, drain_s, console))


def check(port: int, bind: str = LOOPBACK) -> list[str]:
    """What keeps the service from starting here, one line each."""
    problems = []
    try:
        settings = Settings()
        if settings.api_keys_file is not None:
            read_keys(settings.api_keys_file)
        open_directory(settings.model_dir).check_weights()
    except ValidationError as error:
        problems += explain(error)
    except (BadKeysFile, ModelError) as error:
        problems.append(str(error))
    try:
        own_address(bind)
    except ValueError:
        problems.append("BIND is no IP address; 127.0.0.1 is this machine alone, 0.0.0.0 is whoever reaches it")
    if not is_free(port):
        problems.append(
            f"port {port} is taken by {holder(port)}; stop that, or choose another: make run PORT={free_port()}"
        )
    return problems


def prepare(console: Console) -> None:
    """Export the model for the precision that will be served, where that has not been done before."""
    settings = Settings()
    directory = open_directory(settings.model_dir)
    if choose_precision(settings.precision) == "int8" and not is_exported(directory):
        with console.status(f"preparing {directory.path} for int8"):
            export(directory)


def _run(bind: str, port: int, log: Path, replicas: int | None, drain_s: float, console: Console) -> int:
    config = log.with_name("serve_config.local.yaml")
    config.write_text(yaml.safe_dump(local_config(port, usable_cpus(), replicas)), encoding="utf-8")
    drain_file = log.with_name("draining").resolve()
    drain_file.unlink(missing_ok=True)
    environment = {"SENTIMENT_DRAIN_FILE": str(drain_file), **DEFAULTS, **connections(raise_limit()), **os.environ}
    environment |= side_ports(environment)
    environment = {**haproxy_of_ours(log.parent, bind), **environment}
    # a cluster of our own: without the address Serve joins any that runs on this machine, and ends what it serves
    command = [sys.executable, "-m", "ray.serve.scripts", "run", "--address", "local", str(config)]
    url = f"http://{own_address(bind)}:{port}/project"
    began = time.monotonic()
    with log.open("wb") as output:
        process = start(command, environment, output)
        try:
            with console.status(f"starting Serve (log: {log})"):
                _wait_until_healthy(process, url, log)
            console.print(f"Ready after {time.monotonic() - began:.0f} s: {url}/docs (log: {log})")
            console.print(f"""Try: curl -s {url}/predict -d '{{"text": ["I love you."]}}'""", markup=False)
            console.print("Ctrl-C stops it.")
            process.wait()
            return _failed(f"Serve ended by itself with status {process.returncode}", log, console)
        except TimeoutError as error:
            return _failed(str(error), log, console)
        except Stopped as stopped:
            console.print(f"{stopped}: stopping")
            if stopped.number == signal.SIGTERM:
                _drain(drain_file, drain_s, int(environment["RAY_SERVE_HAPROXY_STATS_PORT"]))
            return 0 if stopped.number == signal.SIGINT else 128 + stopped.number
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
            stop(process)


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise TimeoutError(f"Serve ended with status {process.returncode} before it was ready")
        if given_up(log):
            raise TimeoutError("Serve could not deploy the application")
        try:
            with urlopen(f"{url}/health", timeout=2):  # noqa: S310  (our own http address)
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError(f"no prediction succeeded within {START_TIMEOUT_S:.0f} s")


def _drain(file: Path, seconds: float, stats_port: int) -> None:
    with contextlib.suppress(Stopped):  # a second signal means now
        drain(file, seconds, stats_port)


def _failed(why: str, log: Path, console: Console) -> int:
    console.print(f"error: {why}; the end of {log}:", markup=False)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    console.print("\n".join(line[:LINE_WIDTH] for line in lines), markup=False)
    return 1


def _raise_stopped(number: int, _: FrameType | None) -> None:
    raise Stopped(number)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
