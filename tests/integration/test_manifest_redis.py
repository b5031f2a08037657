"""The command lines that the manifests give redis and the init containers, run as a container would."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import redis

from serve_app.local.ports import free_port
from tests.support.manifests import of_kind
from tests.support.redis_server import RedisServer, binary
from tests.support.wait import until

PASSWORD = """any 'characters' "of" a \\ pass#word $HOME `id` %s"""  # noqa: S105
APPLETS = ("sh", "nc", "timeout", "grep", "printf", "echo", "sleep", "sed")


@contextlib.contextmanager
def container(folder: Path, kind: str, name: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The redis of a manifest on a free port of loopback, started by its own command line."""
    (spec,) = of_kind("prod", kind)[name]["spec"]["template"]["spec"]["containers"]
    shell, option, script = spec["command"]
    port = free_port()
    config = folder / "redis.conf"
    config.write_text(f"port {port}\nbind 127.0.0.1\n")
    script = script.replace("/etc/redis/redis.conf", str(config)).replace("/data", f"{folder}\nport {port}")
    server = folder / "redis-server"
    server.unlink(missing_ok=True)
    server.symlink_to(binary())
    fixed = {each["name"]: each["value"] for each in spec["env"] if "value" in each}
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "REDISCLI_AUTH": PASSWORD, **fixed, **variables}
    command = [shell, option, script]
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, port
        finally:
            process.kill()


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "redis-deployment"), ("StatefulSet", "gcs-redis")])
def test_redis_takes_any_password_and_ends_on_sigterm_at_once(kind: str, name: str, tmp_path: Path) -> None:
    with container(tmp_path, kind, name) as (process, port):
        with redis.Redis(port=port, password=PASSWORD, socket_timeout=5) as client:
            until(lambda: answers(client), "redis answers to its password")
            assert client.set("anything", "at all")
            assert client.flushall(), "with one password alone it may do everything"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)  # to what is process 1 of its container
        process.wait(20)
        assert time.monotonic() - began < 10


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def applets(tmp_path: Path) -> Path:
    """A folder with the commands that a busybox image has, and none else."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in APPLETS:
        (folder / name).symlink_to(busybox)
    return folder


@contextlib.contextmanager
def started(applets: Path, which: int, host: str, port: int) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    pod = of_kind("course", "Deployment")["project-api-deployment"]["spec"]["template"]["spec"]
    shell, *arguments = pod["initContainers"][which]["command"]
    environment = {"PATH": str(applets), "REDIS_HOST": host, "REDIS_PORT": str(port)}
    command = [applets / shell, *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            process.kill()


def test_the_first_init_container_waits_for_the_name_alone(applets: Path) -> None:
    with started(applets, 0, "localhost", free_port()) as (process, _):
        assert process.wait(20) == 0
    with started(applets, 0, "no-such-name.invalid", 6379) as (process, out):
        assert "bad address" in out.readline()
        assert process.poll() is None


def test_the_second_waits_for_a_server_that_answers(applets: Path, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    with started(applets, 1, "127.0.0.1", server.port) as (process, out):
        assert out.readline() == "waiting for redis\n"
        server.start()
        try:
            assert process.wait(30) == 0
        finally:
            server.stop()
