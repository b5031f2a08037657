"""Ray nodes on loopback with the Serve configuration of `overlays/prod`, sent as the operator sends it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from serve_app.local.ports import SIDE_PORTS, free_port
from serve_app.local.processes import haproxy_of_ours
from tests.support.manifests import of_kind
from tests.support.service import REPOSITORY
from tests.support.wait import until

START_S = 120.0
QUICK = {"upscale_delay_s": 1, "downscale_delay_s": 2, "look_back_period_s": 2}
"""Delays of seconds, instead of half a minute up and ten minutes down."""

PRODS: dict[str, int] = {}
"""No bounds that differ from prod's."""


class Cluster:
    """Ray nodes in a separate process, with the configuration of `overlays/prod` on a free port."""

    def __init__(self, dashboard: str) -> None:
        self._serve = f"{dashboard}/api/serve/applications/"
        self._config: dict[str, Any] = {}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/project"

    def deploy(
        self, proxies: str, classifiers: int, scaling: Mapping[str, float] = QUICK, ingresses: Mapping[str, int] = PRODS
    ) -> dict[str, Any]:
        """Send the configuration, changed for nodes that share one machine and its ports, and by `scaling`."""
        (service,) = of_kind("prod", "RayService").values()
        config: dict[str, Any] = yaml.safe_load(service["spec"]["serveConfigV2"])
        config["http_options"]["port"] = self.port
        config["proxy_location"] = proxies
        for deployment in config["applications"][0]["deployments"]:
            deployment["autoscaling_config"] |= scaling
            if deployment["name"] == "classifier":
                deployment["autoscaling_config"]["min_replicas"] = classifiers
            else:
                deployment["autoscaling_config"] |= ingresses
        self._send(config)
        until(lambda: self._application()["status"] == "RUNNING", "the application runs", START_S)
        return config

    def target(self, deployment: str) -> int:
        """The number of replicas that Serve wants."""
        return int(self._application()["deployments"][deployment]["target_num_replicas"])

    def scale(self, deployment: str, replicas: int) -> None:
        """Send the configuration again, with a fixed number of replicas."""
        for each in self._config["applications"][0]["deployments"]:
            if each["name"] == deployment:
                each["autoscaling_config"] |= {"min_replicas": replicas, "max_replicas": replicas}
        self._send(self._config)

    def replicas(self, deployment: str) -> int:
        """The number of replicas, those that start or end included."""
        return len(self._application()["deployments"][deployment]["replicas"])

    def _send(self, config: dict[str, Any]) -> None:
        self._config = config
        httpx.put(self._serve, json=config, timeout=30).raise_for_status()

    def nodes(self, deployment: str) -> list[str]:
        """The node of each running replica."""
        return [replica["node_id"] for replica in self._running(deployment)]

    def processes(self, deployment: str) -> list[psutil.Process]:
        """The process of each running replica."""
        return [psutil.Process(replica["pid"]) for replica in self._running(deployment)]

    def node_processes(self, deployment: str) -> list[psutil.Process]:
        """The raylet of the node of the deployment's first replica, and its descendants."""
        raylet = self.processes(deployment)[0].parent()
        assert raylet is not None
        assert raylet.name() == "raylet"
        return [raylet, *raylet.children(recursive=True)]

    def _running(self, deployment: str) -> list[dict[str, Any]]:
        replicas = self._application()["deployments"][deployment]["replicas"]
        return [replica for replica in replicas if replica["state"] == "RUNNING"]

    def _application(self) -> dict[str, Any]:
        applications: dict[str, Any] = httpx.get(self._serve, timeout=30).json()["applications"]
        return dict(applications.get("sentiment", {"status": "NOT_STARTED"}))


@contextmanager
def ray_cluster(
    workers: int,
    *,
    proxies: str = "HeadOnly",
    classifiers: int = 2,
    scaling: Mapping[str, float] = QUICK,
    ingresses: Mapping[str, int] = PRODS,
    **environment: str,
) -> Iterator[Cluster]:
    """A head without CPUs, and workers, which serve while the block runs; HAProxy runs on the head only."""
    # not in pytest's own folder: a socket's path has at most 107 characters
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        (Path(folder) / "ray").mkdir()  # Ray writes the address here
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_SERVE_")}
        errors = (Path(folder) / "errors.txt").open("w+")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ray_nodes", folder, str(workers)],
            cwd=REPOSITORY,
            env={
                **inherited,
                **_ray_settings(Path(folder)),
                "PYTHONPATH": str(REPOSITORY),
                "SENTIMENT_PRECISION": "fp32",
                "RAY_TMPDIR": folder,  # or other runs on this machine would find this cluster
                **environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            assert process.stdout is not None
            dashboard = process.stdout.readline().strip()
            assert dashboard, f"the Ray nodes did not start: {Path(errors.name).read_text()[-2000:]}"
            cluster = Cluster(dashboard)
            cluster.deploy(proxies, classifiers, scaling, ingresses)
            yield cluster
        finally:
            process.communicate(timeout=60)
            errors.close()


def _ray_settings(folder: Path) -> dict[str, str]:
    """The manifest's settings of every Ray container, with this machine's HAProxy script and free ports."""
    (service,) = of_kind("prod", "RayService").values()
    (container,) = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"]
    settings = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith("RAY_SERVE_")}
    assert settings["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    side_ports = {variable: str(free_port()) for variable in SIDE_PORTS}
    return settings | side_ports | haproxy_of_ours(folder)
