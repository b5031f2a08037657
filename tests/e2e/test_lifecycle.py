"""However a run ends, no process stays and no port stays bound."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from serve_app.local.__main__ import START_TIMEOUT_S
from serve_app.local.ports import SIDE_PORTS, free_port, is_free
from tests.support.replicas import frozen, replicas
from tests.support.service import REPOSITORY, Service
from tests.support.wait import until


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    # an address at which nothing is: a run has a cluster of its own, whatever others there are on the machine
    service = Service(tmp_path, RAY_ADDRESS="127.0.0.1:1")
    service.start()
    yield service
    if service.process is not None and service.process.poll() is None:
        service.stop()


def started_by(service: Service) -> list[psutil.Process]:
    assert service.process is not None
    return psutil.Process(service.process.pid).children(recursive=True)


def runs(process: psutil.Process) -> bool:
    """Whether it is there, and more than an entry that its new parent has not collected yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def nothing_is_left(service: Service, processes: list[psutil.Process]) -> None:
    until(lambda: not any(map(runs, processes)), "all processes are gone", 30)
    assert is_free(service.port)


def files_of(service: Service, processes: list[psutil.Process]) -> set[Path]:
    """What its processes have open or name below /tmp and in shared memory, without this test's own."""
    named: set[str] = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            named |= {each.path for each in process.open_files()} | {each.path for each in process.memory_maps()}
            named |= {str(each.laddr) for each in process.net_connections("unix")} | set(process.cmdline())
            named |= set(process.environ().values()) | {process.cwd()}
    found = {Path(name) for name in named if name.startswith(("/tmp/", "/dev/shm/"))}  # noqa: S108
    found -= {Path(value) for value in os.environ.values()}  # such as the cache of torch, which this process imported
    # a checkout and its environment may lie there too
    own = {service.log.parent, REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)}
    return {path for path in found if path.exists() and not own & {path, *path.parents}}


def processes_and_files(service: Service) -> tuple[list[psutil.Process], set[Path]]:
    """What a whole run has; HAProxy, which alone names its configuration, is another process after each reload."""
    processes, files = list[psutil.Process](), set[Path]()

    def whole() -> bool:
        processes[:] = started_by(service)
        files.update(files_of(service, processes))
        names = {process.name() for process in processes if runs(process)} | {file.name for file in files}
        return {"raylet", "haproxy", "haproxy.cfg", "token"} <= names

    until(whole, "HAProxy and Ray run, with their files", 20)
    return processes, files


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_good_order(service: Service, number: signal.Signals) -> None:
    processes, files = processes_and_files(service)
    assert service.post("I love you.").status_code == 200
    assert service.stop(number) in (0, 128 + number)
    assert f"{number.name}: stopping" in service.output()
    nothing_is_left(service, processes)
    assert not [file for file in files if file.exists()]


def test_kill_9_leaves_nothing_either(service: Service) -> None:
    processes = started_by(service)
    service.stop(signal.SIGKILL)
    nothing_is_left(service, processes)


def test_when_serve_dies_the_run_ends_with_an_error(service: Service) -> None:
    processes = started_by(service)
    (serve,) = [process for process in processes if "ray.serve.scripts" in process.cmdline()]
    serve.kill()
    assert service.process is not None
    assert service.process.wait(60) == 1
    assert "Serve ended by itself" in service.output()
    nothing_is_left(service, processes)


def run_to_its_end(
    port: int, *arguments: str, timeout_s: float = 60, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serve_app.local", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PORT": str(port), **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def test_a_taken_port_says_by_whom_and_what_to_do() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = run_to_its_end(port)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: port {port} is taken by ")
    assert f"(process {os.getpid()}); stop that, or choose another: make run PORT=" in line


def test_a_bad_setting_is_one_line_and_no_start() -> None:
    done = run_to_its_end(free_port(), SENTIMENT_BATCH_TOKENS="7")
    assert done.returncode == 1
    assert done.stderr == "error: batch_tokens: Input should be greater than or equal to 64\n"


def test_an_application_that_does_not_import_ends_the_run_with_its_error(tmp_path: Path) -> None:
    # what only the replicas import
    (tmp_path / "fastapi_offline.py").write_text("raise ImportError('not this one')\n")
    port = free_port()
    began = time.monotonic()
    done = run_to_its_end(port, "--log", str(tmp_path / "serve.log"), timeout_s=110, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "error: Serve could not deploy the application; the end of " in done.stderr
    assert "not this one" in done.stderr
    assert time.monotonic() - began < START_TIMEOUT_S / 2
    assert is_free(port)


def test_it_drains_health_first_then_work_under_way_then_the_end(tmp_path: Path) -> None:
    service = Service(tmp_path, DRAIN_S="10", SENTIMENT_PRECISION="fp32")
    service.start()
    processes = started_by(service)
    assert service.process is not None
    health = f"{service.url}/project/health"
    long = [f"{number} " + "word " * 400 for number in range(60)]
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(service.post, *long)
        service.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(health, timeout=10).status_code == 503, "health is 503", 3)
        assert "draining" in httpx.get(health, timeout=10).json()["reason"]
        assert service.post("It still answers.").status_code == 200
        assert service.process.poll() is None
        assert under_way.result().status_code == 200
    assert service.process.wait(60) == 128 + signal.SIGTERM
    nothing_is_left(service, processes)


def test_health_is_503_with_the_reason_until_the_model_has_predicted(tmp_path: Path) -> None:
    service = Service(tmp_path, SENTIMENT_PRECISION="fp32")
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(service.start)
        until(lambda: service.process is not None and replicas(service, "classifier"), "a classifier starts", 60)
        with frozen(service):
            until(lambda: "starting" in reason(service), "health tells that it is starting", 60)
            assert not started.done()
        started.result()
        # still in the block: the service ends with the thread that started it
        assert reason(service) == ""
        service.stop()


def reason(service: Service) -> str:
    """Why it is not healthy, by its own word; nothing where it is, or where it says nothing."""
    try:
        return str(httpx.get(f"{service.url}/project/health", timeout=10).json().get("reason", ""))
    except (httpx.HTTPError, ValueError):
        return ""


def test_two_runs_of_one_checkout_share_nothing(tmp_path: Path) -> None:
    # a proxy that is not there, as those that people's environments name: it is not asked
    proxy = "http://127.0.0.1:9"
    first = Service(tmp_path, http_proxy=proxy, HTTP_PROXY=proxy, all_proxy=proxy)
    (tmp_path / "second").mkdir()
    second = Service(tmp_path / "second", http_proxy=proxy, BIND="0.0.0.0")  # noqa: S104  (the other stays on loopback)
    for service in (first, second):
        service.log = tmp_path / "serve.log"
        for variable in SIDE_PORTS:
            del service._environment[variable]
    with ThreadPoolExecutor(2) as pool:
        for started in [pool.submit(service.start) for service in (first, second)]:
            started.result()
        # still in the block: a service ends with the thread that started it
        assert {name.name for name in tmp_path.glob("serve*.log")} >= {"serve.log"}
        assert len(list(tmp_path.glob("serve*.log"))) == 2
        assert first.run_folder() != second.run_folder()
        left = second.run_folder()
        assert second.stop() == 128 + signal.SIGTERM
        assert not left.exists()
        assert first.post("I love you.").status_code == 200
        assert httpx.get(f"{first.url}/project/health", trust_env=False).status_code == 200
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL


def test_what_a_killed_run_leaves_is_gone_with_the_next_start(tmp_path: Path) -> None:
    killed = Service(tmp_path)
    killed.start()
    left = killed.run_folder()
    processes = started_by(killed)
    files = files_of(killed, processes)
    killed.stop(signal.SIGKILL)
    assert left.exists()
    nothing_is_left(killed, processes)
    run_to_its_end(free_port(), "--log", "/dev/null/serve.log")
    assert not left.exists()
    assert not [file for file in files if file.exists()]
    assert not Path(f"/tmp/.sentiment-{os.getuid()}.lock").exists()  # noqa: S108
