"""No text is kept anywhere: canaries go through every path and fault, and are then looked for.

`make canaries` sends 10,000. Each search looks for a marker too, which must be where the canary must not.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.canaries import KINDS, RAW, Search, Syslog, send_and_close, texts
from tests.support.redis_server import RedisServer
from tests.support.service import Service
from tests.support.wait import until

NUMBER = int(os.environ.get("CANARIES", "300"))
KEY = "a-key-for-the-canaries"
AT_ONCE = 8
WHILE_BROKEN = (200, 404, 500, 503)
ECHOED = {"x-request-id"}  # Serve hands the caller's own id back to the caller


@dataclass
class Mine:
    """A service with all that it writes in one folder, and the canary's word."""

    service: Service
    redis: RedisServer
    folder: Path
    syslog: Syslog
    client: httpx.Client
    word: str
    sent: int = 0

    def canary(self) -> str:
        self.sent += 1
        return f"{self.word}x{self.sent}"

    def check(self, response: httpx.Response, *statuses: int) -> int:
        """The answer has one of the statuses, and nothing of the canary."""
        assert response.status_code in statuses, response.text[:200]
        headers = [item for item in response.headers.items() if item[0] not in ECHOED]
        search = Search(self.word)
        search.look("answer", response.content + repr(headers).encode())
        assert search.found == []
        return response.status_code

    def ask(self, *statuses: int) -> int:
        canary = self.canary()
        return self.check(self.client.post("/project/predict", content=texts(canary)), *statuses)

    def replica(self, deployment: str) -> psutil.Process:
        assert self.service.process is not None
        children = psutil.Process(self.service.process.pid).children(recursive=True)
        (found,) = [each for each in children if f"sentiment:{deployment}" in each.name()]
        return found

    def healthy(self) -> bool:
        try:
            return self.client.get("/project/health").status_code == 200 and self.ask(*WHILE_BROKEN) == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mine]:
    # not in pytest's own folder: a socket's path has at most 107 characters
    with tempfile.TemporaryDirectory(prefix="ray-") as name:
        folder = Path(name)
        (folder / "ray").mkdir()
        (folder / "keys").write_text(f"# of the test\n{KEY}\n")
        redis = RedisServer(tmp_path_factory.mktemp("redis"))
        redis.start()
        syslog = Syslog()
        service = Service(
            folder,
            REDIS_URL=redis.url,
            RAY_TMPDIR=name,
            RAY_SERVE_HAPROXY_CONFIG_FILE_LOC=f"{name}/h/haproxy.cfg",
            RAY_SERVE_HAPROXY_SOCKET_PATH=f"{name}/h/admin.sock",
            RAY_SERVE_HAPROXY_LOG_TARGET=syslog.address,
            SENTIMENT_API_KEYS_FILE=str(folder / "keys"),
            SENTIMENT_MODEL_TIMEOUT_S="6",
            SENTIMENT_REDIS_PROBE_S="0.2",
            SENTIMENT_PRECISION="fp32",
        )
        try:
            service.start()
            with httpx.Client(base_url=service.url, timeout=60, headers={"x-api-key": KEY}) as client:
                yield Mine(service, redis, folder, syslog, client, f"canary{secrets.token_hex(6)}")
        finally:
            service.stop()
            redis.stop()
            syslog.close()


def searched(mine: Mine, word: str) -> Search:
    """Everywhere a text could have been kept."""
    search = Search(word)
    search.look_in_redis(mine.redis.client)
    search.look("redis", str(mine.redis.client.info("everything")).encode())
    search.look_in_files("files", mine.folder)
    discovery = mine.folder / "ray" / "session_latest" / "prom_metrics_service_discovery.json"
    targets = [target for group in json.loads(discovery.read_text()) for target in group["targets"]]
    search.look_in_pages("metrics", [f"http://{target}/metrics" for target in targets])
    search.look("syslog", b"\n".join(mine.syslog.lines))
    return search


def test_a_marker_is_found_wherever_a_canary_would_be(mine: Mine) -> None:
    mine.ask(200)
    until(mine.redis.names, "the answer is in Redis")
    for place, word in {
        "redis": "fastapi-cache-project::",
        "files: serve.log": "haproxymanager",
        "metrics": "ray_sentiment_",
        "syslog": "post",
    }.items():
        until(lambda place=place, word=word: place in searched(mine, word).found, f"{word} is in {place}")  # type: ignore[misc]
    assert any("worker-" in place for place in searched(mine, "serve").found)


def test_nothing_of_a_text_is_kept(mine: Mine) -> None:
    kinds = list(KINDS.values())
    rounds = itertools.islice(itertools.cycle(kinds), NUMBER)

    def send(kind: tuple[object, int]) -> None:
        function, status = kind
        mine.check(function(mine.client, mine.canary()), status)  # type: ignore[operator]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(send, rounds))
        raw = itertools.islice(itertools.cycle(RAW.values()), NUMBER // 10)
        list(pool.map(lambda make: send_and_close(mine.service.port, make(mine.canary())), raw))
    assert mine.sent >= NUMBER + NUMBER // 10
    search = searched(mine, mine.word)
    assert search.found == []
    assert len(mine.redis.names()) > NUMBER // 10
    assert all(search.looked[place] > 10_000 for place in ("redis", "files", "metrics", "syslog")), search.looked


def test_nothing_is_kept_of_a_text_that_met_a_broken_redis(mine: Mine) -> None:
    mine.redis.freeze()
    for _ in range(10):
        mine.ask(200)
    mine.redis.thaw()
    mine.redis.client.config_set("maxmemory", "1")
    for _ in range(10):
        mine.ask(200)
    mine.redis.client.config_set("maxmemory", "0")
    mine.redis.stop()
    for _ in range(10):
        mine.ask(200)
    mine.redis.start()
    until(lambda: mine.ask(200) and mine.redis.names(), "Redis is written again")
    assert searched(mine, mine.word).found == []


@pytest.mark.parametrize("deployment", ["classifier", "ingress"])
def test_nothing_is_kept_of_a_text_whose_replica_froze_or_was_killed(mine: Mine, deployment: str) -> None:
    until(mine.healthy, "it answers", 120)

    def one_of_many(_: int) -> int:
        try:
            return mine.ask(*WHILE_BROKEN)
        except httpx.TransportError:
            return 0

    with ThreadPoolExecutor(AT_ONCE) as pool:
        process = mine.replica(deployment)
        process.suspend()
        waiting = [pool.submit(one_of_many, n) for n in range(AT_ONCE)]
        if deployment == "classifier":
            assert 503 in {future.result() for future in waiting}
            waiting = [pool.submit(one_of_many, n) for n in range(AT_ONCE)]
        process.send_signal(signal.SIGABRT if deployment == "classifier" else signal.SIGKILL)
        process.send_signal(signal.SIGCONT)
        answers = [future.result() for future in waiting]
    assert len(answers) == AT_ONCE
    until(mine.healthy, "it answers again", 120)
    assert searched(mine, mine.word).found == []


def test_nothing_is_left_in_the_logs_after_the_end(mine: Mine) -> None:
    until(mine.healthy, "it answers", 120)
    mine.service.stop()
    search = Search(mine.word)
    search.look_in_files("files", mine.folder)
    assert search.found == []
    assert search.looked["files"] > 100_000
