"""Serve's HAProxy with Serve's configuration and ours, in front of an ASGI application; no Ray runs."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import uvicorn
from ray.serve._private.common import RequestProtocol
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.local.ports import free_port
from serve_app.local.processes import haproxy_of_ours
from serve_app.metrics import Metrics
from serve_app.settings import Settings
from serve_app.web.backlog import BACKLOG
from serve_app.web.guard import guarded
from tests.support.fakes import FakeModel
from tests.support.wait import until
from tests.unit.web.test_api import make_apps


@dataclass
class Proxied:
    """The service's port, the application behind it, and its HAProxy."""

    port: int
    seen: list[Scope]
    haproxy: psutil.Process
    backend_port: int

    @property
    def url(self) -> str:
        """The service's URL."""
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def proxied(folder: Path, make: Callable[[], ASGIApp] | None = None) -> Iterator[Proxied]:
    """HAProxy in front of an application; by default the ingress' own, with a fake model.

    `make` is called in the application's thread. The limit of open files is raised for the test.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seen: list[Scope] = []
    port = free_port()
    with _served(make or _ingress, seen) as backend_port, _haproxy(folder, port, backend_port) as process:
        yield Proxied(port, seen, process, backend_port)


def _ingress() -> ASGIApp:
    settings = Settings()
    return guarded(make_apps(FakeModel(), settings)["short path"], settings, Metrics())


@contextlib.contextmanager
def _served(make: Callable[[], ASGIApp], seen: list[Scope]) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)

    async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/-/healthz":
            seen.append(scope)
        if scope["path"] == "/-/healthz":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await app(scope, receive, send)

    server = uvicorn.Server(
        uvicorn.Config(recorded, lifespan="off", log_level="critical", timeout_keep_alive=90, backlog=BACKLOG)
    )
    app: ASGIApp

    def run() -> None:
        nonlocal app
        app = make()
        server.run([listener])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listener.close()


@contextlib.contextmanager
def _haproxy(folder: Path, port: int, backend_port: int) -> Iterator[psutil.Process]:
    file = folder / "haproxy.cfg"
    options = HTTPOptions(host="127.0.0.1", port=port)
    config = HAProxyConfig(
        http_options=options,
        socket_path=str(folder / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        stats_port=free_port(),
        metrics_port=free_port(),
        metrics_enabled=False,
        timeout_client_s=60,
        has_received_routes=True,
        has_received_servers=True,
        retry_on="conn-failure empty-response 0rtt-rejected junk-response",
    )
    server = ServerConfig(name="replica", host="127.0.0.1", port=backend_port)
    backend = BackendConfig("sentiment", "/", servers=[server], app_name="sentiment", protocol=RequestProtocol.HTTP)
    api = HAProxyApi(config, {"sentiment": backend}, str(file))
    api._generate_config_file_internal()
    (folder / "state").touch()
    script = haproxy_of_ours(folder)["RAY_SERVE_HAPROXY_BINARY_PATH"]
    log = folder / "haproxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen([script, "-db", "-f", str(file)], stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}/project/model"

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return httpx.get(url, trust_env=False).status_code != 503
            except httpx.HTTPError:
                return False

        until(answers, "HAProxy answers")
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()
