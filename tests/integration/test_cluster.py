"""The Serve configuration of the rendered manifests, on several Ray nodes, sent as the operator sends it."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from serve_app.local.ports import SIDE_PORTS, free_port
from serve_app.local.processes import haproxy_of_ours
from tests.manifests import of_kind
from tests.service import REPOSITORY
from tests.wait import until

WORKERS = 3
START_S = 120.0
USERS = 24  # three classifiers' worth, at 8 requests each; more would wait longer than the model's time-out


class Cluster:
    """Ray nodes in a process of their own, with the configuration of `overlays/prod` on a free port."""

    def __init__(self, dashboard: str) -> None:
        self._serve = f"{dashboard}/api/serve/applications/"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/project"

    def deploy(self) -> dict[str, Any]:
        """Send the configuration, changed only where several nodes share one machine and its ports."""
        (service,) = of_kind("prod", "RayService").values()
        config: dict[str, Any] = yaml.safe_load(service["spec"]["serveConfigV2"])
        config["http_options"]["port"] = self._port
        config["proxy_location"] = "HeadOnly"
        for deployment in config["applications"][0]["deployments"]:
            # seconds instead of half a minute up, and ten minutes down
            deployment["autoscaling_config"] |= {"upscale_delay_s": 1, "downscale_delay_s": 2, "look_back_period_s": 2}
        httpx.put(self._serve, json=config, timeout=30).raise_for_status()
        until(lambda: self._application()["status"] == "RUNNING", "the application runs", START_S)
        return config

    def nodes(self, deployment: str) -> list[str]:
        """The node of each running replica."""
        replicas = self._application()["deployments"][deployment]["replicas"]
        return [replica["node_id"] for replica in replicas if replica["state"] == "RUNNING"]

    def _application(self) -> dict[str, Any]:
        applications: dict[str, Any] = httpx.get(self._serve, timeout=30).json()["applications"]
        return dict(applications.get("sentiment", {"status": "NOT_STARTED"}))


def _ray_settings(folder: Path) -> dict[str, str]:
    """What the manifest sets in every Ray container, with this machine's HAProxy script and free ports."""
    (service,) = of_kind("prod", "RayService").values()
    (container,) = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"]
    settings = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith("RAY_SERVE_")}
    assert settings["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    side_ports = {variable: str(free_port()) for variable in SIDE_PORTS}
    return settings | side_ports | haproxy_of_ours(folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # not in pytest's own folder: a socket's path has at most 107 characters
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        (Path(folder) / "ray").mkdir()  # where Ray notes the address
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_SERVE_")}
        errors = (Path(folder) / "errors.txt").open("w+")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.ray_nodes", folder, str(WORKERS)],
            cwd=REPOSITORY,
            env={
                **environment,
                **_ray_settings(Path(folder)),
                "PYTHONPATH": str(REPOSITORY),
                "SENTIMENT_PRECISION": "fp32",
                "SENTIMENT_MAX_WAIT_S": "60",  # a slow machine may take long, but must not refuse
                "RAY_TMPDIR": folder,  # or others on this machine would take this cluster for theirs
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
            cluster.deploy()
            yield cluster
        finally:
            process.communicate(timeout=60)
            errors.close()


def test_it_answers(cluster: Cluster) -> None:
    answer = httpx.post(f"{cluster.url}/predict", json={"text": ["I love you.", "I hate you."]}, timeout=30)
    assert [pair[0]["label"] for pair in answer.json()["predictions"]] == ["POSITIVE", "NEGATIVE"]


def test_each_node_has_at_most_one_classifier(cluster: Cluster) -> None:
    nodes = cluster.nodes("classifier")
    assert len(nodes) >= 2
    assert len(set(nodes)) == len(nodes)


def test_classifiers_grow_under_load_and_shrink_after_it(cluster: Cluster) -> None:
    until(lambda: len(cluster.nodes("classifier")) == 2, "two classifiers are left of earlier load", 60)

    def ask(number: int) -> int:
        texts = [f"{number} {index} " + "word " * 60 for index in range(10)]
        return httpx.post(f"{cluster.url}/predict", json={"text": texts}, timeout=60).status_code

    with concurrent.futures.ThreadPoolExecutor(USERS) as pool:
        numbers = iter(range(100_000))
        waiting = {pool.submit(ask, next(numbers)) for _ in range(USERS)}
        statuses = []

        def grown() -> bool:
            done, _ = concurrent.futures.wait(waiting, timeout=0.5, return_when="FIRST_COMPLETED")
            for future in done:
                waiting.remove(future)
                statuses.append(future.result())
                waiting.add(pool.submit(ask, next(numbers)))
            return len(cluster.nodes("classifier")) == 3

        until(grown, "a third classifier runs", 90)
        statuses += [future.result() for future in waiting]
    assert set(statuses) == {200}
    until(lambda: len(cluster.nodes("classifier")) == 2, "two classifiers are left", 90)
