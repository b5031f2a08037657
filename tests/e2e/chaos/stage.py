"""What faults happen to: the service with two replicas of each kind, and a Redis that it reaches through a proxy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from serve_app.cache.redis_store import PREFIX
from serve_app.prediction import text_key
from serve_app.settings import MINI_MODEL
from tests.support.golden import golden
from tests.support.redis_server import RedisServer
from tests.support.service import Service
from tests.support.tcp_proxy import TcpProxy
from tests.support.wait import until

REPLICAS = 2
CLASSIFIER = "ray::ServeReplica:sentiment:classifier"
INGRESS = "ray::ServeReplica:sentiment:ingress"
CONTROLLER = "ray::ServeController"
HAPROXY = "/haproxy -db"
WHOLE = {CLASSIFIER: REPLICAS, INGRESS: REPLICAS, CONTROLLER: 1, HAPROXY: 1}
RESTART_S = 120.0

Config = dict[str, Any]


class Stage:
    """A running service and its Redis, and the means to harm both. `texts` are new to the service."""

    def __init__(self, folder: Path, python: Path = Path(sys.executable)) -> None:
        self.folder = folder
        self.redis = RedisServer(folder)
        self.proxy = TcpProxy(self.redis.port)
        self.service = Service(
            folder,
            python,
            REPLICAS=str(REPLICAS),
            REDIS_URL=f"redis://127.0.0.1:{self.proxy.port}/0",
            SENTIMENT_REDIS_PROBE_S="0.2",
            SENTIMENT_PRECISION="fp32",
        )
        self.fingerprint = golden(MINI_MODEL, ["a"]).fingerprint
        self.texts: Sequence[str] = ()
        self._asked = 0

    def start(self) -> None:
        self.redis.start()
        self.proxy.start()
        self.service.start()
        self.wait_until_whole()

    def stop(self) -> None:
        if self.service.process is not None and self.service.process.poll() is None:
            self.service.stop()
        self.proxy.stop()
        self.redis.stop()

    def running(self, command: str) -> list[psutil.Process]:
        """The service's processes whose command line holds `command`."""
        assert self.service.process is not None
        found = []
        for process in psutil.Process(self.service.process.pid).children(recursive=True):
            try:
                if process.status() != psutil.STATUS_ZOMBIE and command in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, command: str) -> None:
        """kill -9 for one of them."""
        self.running(command)[0].kill()

    def wait_until_whole(self) -> None:
        """Until everything runs that should, and a text that is new is answered and kept in Redis."""
        until(
            lambda: all(len(self.running(command)) >= number for command, number in WHOLE.items()),
            "every process runs",
            RESTART_S,
        )
        until(self._answers_and_keeps, "the service uses Redis", RESTART_S)

    def key(self, text: str) -> str:
        """Where the service keeps the embedded model's answer to the text."""
        return f"{PREFIX}{self.fingerprint}:{text_key(text).hex()}"

    def deploy(self, change: Callable[[Config], None]) -> None:
        """`serve deploy` what runs, changed."""
        file = self.service.run_folder() / "serve_config.yaml"
        config: Config = yaml.safe_load(file.read_text())
        change(config)
        file.write_text(yaml.safe_dump(config))
        found = re.search(r"dashboard at .*?(http://[\d.:]+)", self.service.log.read_text())
        assert found, "Ray's log tells no dashboard"
        command = [sys.executable, "-m", "ray.serve.scripts", "deploy", "--address", found[1], str(file)]
        token = str(self.service.run_folder() / "token")
        environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    def _answers_and_keeps(self) -> bool:
        self._asked += 1
        text = f"is it whole, {self._asked}?"
        before = self.redis.client.dbsize()
        if self.service.post(text).status_code != 200:
            return False
        try:
            until(lambda: self.redis.client.dbsize() > before, "the answer is in Redis", 2)
        except AssertionError:
            return False
        return True
