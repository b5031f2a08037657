"""The README's commands, as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.local.ports import free_port
from tests.support.machine_speed import slowdown
from tests.support.redis_server import RedisServer
from tests.support.service import REPOSITORY
from tests.support.wait import until

BLOCKS = re.findall(r"```(sh|json)\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL)
RUN, CURL, TEST, FETCH, REDIS = [text.strip() for kind, text in BLOCKS if kind == "sh"]
(ANSWER,) = [json.loads(text) for kind, text in BLOCKS if kind == "json"]
SECONDS_TO_READY = 20
STARTS = 3


class Shell:
    """Runs a README command in the repository, on a free port, until it is ready, and interrupts it at the end."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._output = folder / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: str) -> float:
        began = time.monotonic()
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec env {command}" if "=" in command else f"exec {command}"],
                cwd=REPOSITORY,
                env={**os.environ, "PORT": str(self.port)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        until(lambda: "Ctrl-C stops it" in self.output() or self._ended(), "the service is ready", 120)
        assert not self._ended(), self.output()
        return time.monotonic() - began

    def output(self) -> str:
        return self._output.read_text()

    def interrupt(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(60)

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.interrupt()


def curl(command: str, port: int) -> dict[str, list[list[dict[str, object]]]]:
    moved = command.replace(":8000/", f":{port}/")
    answer = subprocess.run(shlex.split(moved), capture_output=True, text=True, timeout=30, check=True).stdout
    return dict(json.loads(answer))


def test_make_run_answers_the_curl_as_the_readme_shows(shell: Shell) -> None:
    assert RUN == "make run"
    shell.start(RUN)
    got = curl(CURL, shell.port)["predictions"]
    for prediction, shown in zip(got, ANSWER["predictions"], strict=True):
        assert [pair["label"] for pair in prediction] == [pair["label"] for pair in shown]
        assert [pair["score"] for pair in prediction] == pytest.approx(
            [pair["score"] for pair in shown], abs=0.01
        )  # int8 sums differ a little by CPU
    assert f"http://127.0.0.1:{shell.port}/project/predict" in shell.output()


def test_make_run_is_ready_within_20_seconds(shell: Shell) -> None:
    for _ in range(STARTS):  # a neighbour's burst of load may spoil one start, not three
        bar = SECONDS_TO_READY * slowdown()
        seconds = shell.start(RUN)
        if seconds < bar:
            return
        shell.interrupt()
    pytest.fail(f"the last of {STARTS} starts took {seconds:.1f} s, and the bar is {bar:.1f} s")


def test_make_run_with_redis_fills_it(shell: Shell, redis_server: RedisServer) -> None:
    assert REDIS.endswith(" make run")
    shell.start(REDIS.replace(":6379/", f":{redis_server.port}/"))
    curl(CURL, shell.port)
    until(lambda: len(redis_server.names()) >= 2, "both texts are in Redis")


def test_the_other_commands_exist() -> None:
    help_text = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert {RUN, TEST} <= set(re.findall(r"make \w+", help_text))
    fetch, export, run = FETCH.splitlines()
    assert export == ".venv/bin/python -m model.export models/distilbert-base-uncased-finetuned-sst2"
    assert fetch == ".venv/bin/python -m model.fetch"
    done = subprocess.run(
        [sys.executable, *shlex.split(fetch)[1:], "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "winegarj/distilbert-base-uncased-finetuned-sst2" in done.stdout
    assert run.startswith("SENTIMENT_MODEL_DIR=models/distilbert-base-uncased-finetuned-sst2 ")
