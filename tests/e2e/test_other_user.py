"""Another user of the same machine, against a running `make run`."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import psutil
import pytest

from tests.support import other_user
from tests.support.service import REPOSITORY, Service

NOBODY = 65534
KEY = "a-key-that-only-callers-have"
TEXT = "a text that nobody else may ever read, 9f2b7c"
PASSWORD = "a-password-of-redis-5d1e"  # noqa: S105
METHODS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.serve.ASGIService/HandleRequest",
)
ASK = {"gcs_server", "raylet/raylet", "ServeController", "HAProxyManager", "ServeReplica:sentiment"}
"""Processes of Ray that take calls."""
AS_NOBODY = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]


@pytest.fixture(scope="module")
def python() -> str:
    """A Python that the other user may run."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("becoming another user takes root and setpriv")
    for candidate in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([*AS_NOBODY, candidate, "-I", "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    pytest.skip("there is no Python that another user may run")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that everybody may look into, as that of a checkout is."""
    with tempfile.TemporaryDirectory(prefix="open-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def service(place: Path, python: str) -> Iterator[Service]:  # noqa: ARG001
    keys = place / "keys"
    keys.touch(0o600)
    keys.write_text(f"{KEY}\n")
    service = Service(
        place,
        SENTIMENT_API_KEYS_FILE=str(keys),
        SENTIMENT_PRECISION="fp32",
        REDIS_URL="redis://127.0.0.1:1/0",
        SENTIMENT_REDIS_PASSWORD=PASSWORD,
    )
    service.start()
    yield service
    service.stop()


def ask(service: Service) -> int:
    headers = {"X-API-Key": KEY}
    url = f"{service.url}/project/predict"
    return httpx.post(url, json={"text": [TEXT]}, headers=headers, timeout=30).status_code


def processes(service: Service) -> list[psutil.Process]:
    assert service.process is not None
    own = psutil.Process(service.process.pid)
    return [own, *own.children(recursive=True)]


def listeners(service: Service) -> dict[int, str]:
    """The ports that the service's processes listen on, with who does."""
    found = {}
    for process in processes(service):
        for each in process.net_connections("inet"):
            if each.status == psutil.CONN_LISTEN:
                found[each.laddr.port] = " ".join(process.cmdline())
    return found


def test_it_reads_changes_and_reaches_nothing(service: Service, place: Path, python: str) -> None:
    assert ask(service) == 200
    folder = service.run_folder()
    running = processes(service)
    sockets = {str(each.laddr) for process in running for each in process.net_connections("unix") if each.laddr}
    sockets |= {str(path) for path in folder.rglob("*") if path.is_socket()}
    assert [path for path in sockets if path.startswith(f"{folder}/h/") and path.endswith("/admin.sock")]
    secrets = {"key": KEY, "text": TEXT, "password": PASSWORD, "token": (folder / "token").read_text()}
    given = {
        "secrets": secrets,
        "folder": str(folder),
        "log": str(service.log),
        "keys": str(place / "keys"),
        "sockets": sorted(sockets),
        "processes": [process.pid for process in running],
        "roots": ["/tmp", "/dev/shm", "/run/shm", "/var/tmp"],  # noqa: S108
        "passed_over": [str(REPOSITORY), sys.prefix, sys.base_prefix],  # gigabytes, and this very file
    }
    script = Path(other_user.__file__).read_text(encoding="utf-8")
    command = [*AS_NOBODY, python, "-I", "-c", script]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
    like_it = place / "like-it"
    like_it.mkdir()
    (like_it / "token").write_text(secrets["token"])
    given = {**given, "folder": str(like_it), "processes": [], "sockets": [], "roots": [str(place)]}
    command = [python, "-I", "-c", script]
    mine = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=120, check=True)
    assert f"reads the token in {like_it}-mine/token" in json.loads(mine.stdout), "its owner may do all of it"
    assert ask(service) == 200


def test_rays_ports_ask_for_the_token(service: Service) -> None:
    refusing = set()
    for port, who in listeners(service).items():
        if "haproxy" in who:
            continue
        for method in METHODS:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(method)(b"", timeout=2)
            if refused.value.code() is grpc.StatusCode.UNAUTHENTICATED:
                refusing.add(next((name for name in ASK if name in who), who))
    assert refusing >= ASK


def test_the_dashboard_and_its_jobs_ask_for_the_token(service: Service) -> None:
    (port,) = [
        port for port, who in listeners(service).items() if "dashboard/dashboard.py" in who and port == 8265
    ] or [
        next(port for port, who in listeners(service).items() if "dashboard/dashboard.py" in who and speaks_http(port))
    ]
    url = f"http://127.0.0.1:{port}"
    assert httpx.get(f"{url}/api/jobs/").status_code == 401
    assert httpx.post(f"{url}/api/jobs/", json={"entrypoint": "id"}).status_code == 401
    assert httpx.get(f"{url}/api/serve/applications/").status_code == 401
    token = (service.run_folder() / "token").read_text()
    assert httpx.get(f"{url}/api/jobs/", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def speaks_http(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/version", timeout=5).status_code in (200, 401)
    except httpx.HTTPError:
        return False


def test_haproxys_page_of_statistics_changes_nothing(service: Service) -> None:
    port = int(service._environment["RAY_SERVE_HAPROXY_STATS_PORT"])
    page = httpx.get(f"http://127.0.0.1:{port}/stats;csv").text
    backends = {tuple(line.split(",")[:2]) for line in page.splitlines() if "ServeReplica" in line or "replica" in line}
    for backend, server in backends:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", "/stats", f"s={server}&action=drain&b={backend}")
        assert connection.getresponse().status in (303, 403)
    assert ",DRAIN" not in httpx.get(f"http://127.0.0.1:{port}/stats;csv").text
    assert ask(service) == 200


def test_the_line_about_ray_works_for_its_owner(service: Service) -> None:
    (line,) = [line for line in service.output().splitlines() if line.startswith("Ray: ")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        ["sh", "-c", line.removeprefix("Ray: ")], env=clean, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Node status" in done.stdout


def test_no_process_leaves_a_core(service: Service) -> None:
    for process in processes(service):
        limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="ascii")
        (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert line.split()[4:6] == ["0", "0"], process.name()


def test_the_password_of_the_cache_is_in_no_file_of_the_run(service: Service) -> None:
    files = [path for path in service.run_folder().rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in [*files, service.log]:
        assert PASSWORD.encode() not in path.read_bytes(), path
        assert TEXT.encode() not in path.read_bytes(), path
