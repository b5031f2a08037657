"""A real Prometheus that scrapes a running service, for tests of queries and alerts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from serve_app.local.ports import free_port
from tests.support.service import Service
from tests.support.wait import until

METRICS = {"DashboardAgent": b"ray_serve_", "haproxy": b"haproxy_process"}


def program(name: str) -> str:
    """The program's path; without it the test is skipped (`.ci/run` makes sure that it is installed)."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed; on Debian: apt-get install prometheus")
    return path


def metrics_addresses(service: Service) -> list[str]:
    """The addresses of the service's metrics for Prometheus: Ray's agent and HAProxy, each on some free port."""
    assert service.process is not None
    found = []
    for process in psutil.Process(service.process.pid).children(recursive=True):
        try:
            title = " ".join(process.cmdline())
            listening = {each.laddr.port for each in process.net_connections("tcp") if each.status == "LISTEN"}
        except psutil.NoSuchProcess:  # it has ended meanwhile
            continue
        for marker, metric in METRICS.items():
            if marker in title:
                found += [f"127.0.0.1:{port}" for port in listening if _has(port, metric)]
    return found


def _has(port: int, metric: bytes) -> bool:
    try:
        return metric in httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=1).content
    except httpx.HTTPError:
        return False


class Prometheus:
    """Prometheus on a free port, scraping once a second; its data is in `folder`."""

    def __init__(self, folder: Path, targets: list[str]) -> None:
        self._port = free_port()
        config = folder / "prometheus.yml"
        scrape = {"job_name": "service", "static_configs": [{"targets": targets}]}
        config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}))
        command = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        with (folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._ready, "Prometheus is ready", 30)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query, without those that are not numbers."""
        answer = httpx.get(f"http://127.0.0.1:{self._port}/api/v1/query", params={"query": expression}, timeout=10)
        body = answer.json()
        assert body["status"] == "success", f"{expression}: {body.get('error')}"
        return [sample for sample in body["data"]["result"] if sample["value"][1] != "NaN"]

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/-/ready", timeout=2).is_success
        except httpx.HTTPError:
            return False
