"""`python -m benchmarks.trace`: starts the service, sends new texts one by one, and prints each stage's time."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.table import Table

from benchmarks.command import run
from benchmarks.machine import where
from benchmarks.model import base_model
from benchmarks.report import show
from benchmarks.texts import WORDS
from benchmarks.trace.stamps import FOLDER
from serve_app.local.ports import free_port
from serve_app.settings import MINI_MODEL
from serve_app.web.before_serve import VARIABLE

STAGES = {
    "received": "client to HAProxy, to the ingress replica",
    "middleware": "HTTP parsed, task begun",
    "endpoint": "middleware and guards",
    "call": "body, caches, admission",
    "classifier": "handle call out",
    "tokenize": "@serve.batch, to the tokenizer's thread",
    "tokenized": "tokenize",
    "pass": "back to the loop, to the engine's thread",
    "passed": "the pass",
    "classified": "back to the loop, the answer made",
    "called": "handle call back",
    "replied": "scores to JSON, headers",
    "answered": "written",
    "sent": "HAProxy to client",
}
"""The stage between the stamp before and this one, in order."""

LATER = {"passed", "tokenized"}
"""The last stamp of these counts, the first of others: a pass on several threads has several."""

Stamps = list[tuple[float, str]]


def main(
    requests: Annotated[int, typer.Option(min=10, help="Requests that are measured.")] = 300,
    words: Annotated[int, typer.Option(min=1, help="Words of each text.")] = 12,
    large: Annotated[bool, typer.Option("--large", help="A model of production size.")] = False,  # noqa: FBT002
    precision: Annotated[str, typer.Option(help="SENTIMENT_PRECISION")] = "auto",
) -> None:
    """Print the median and 90th percentile of each stage of a request with one new text, one user."""
    build = Path("build/bench")
    build.mkdir(parents=True, exist_ok=True)
    model = base_model(build) if large else MINI_MODEL
    with tempfile.TemporaryDirectory(prefix="trace-") as folder:
        port = free_port()
        environment = {
            **os.environ,
            "PORT": str(port),
            "SENTIMENT_MODEL_DIR": str(model),
            "SENTIMENT_PRECISION": precision,
            VARIABLE: "benchmarks.trace.service:middlewares",
            FOLDER: folder,
        }
        command = [sys.executable, "-m", "benchmarks.trace.service", "--log", f"{folder}/serve.log"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)  # noqa: S603
        try:
            assert process.stderr is not None  # noqa: S101
            said = ""
            while "Ctrl-C stops it" not in said:
                line = process.stderr.readline()
                if not line:
                    raise RuntimeError(f"the service did not start: {said.strip().rpartition(chr(10))[2]}")
                said += line
            spans = _ask(f"http://127.0.0.1:{port}/project/predict", requests, words)
        finally:
            process.terminate()
            process.communicate()
        noted = sorted(
            (at, name)
            for file in Path(folder).glob("*.jsonl")
            for line in file.read_text(encoding="utf-8").splitlines()
            for name, at in json.loads(line)
        )
    show(_table([each for span in spans if (each := stages(span, noted)) is not None], where()))


def _ask(url: str, requests: int, words: int) -> list[tuple[float, float]]:
    """The times of each request and of its answer; the first ones only warm up."""
    spans = []
    with httpx.Client(timeout=60, trust_env=False) as client:
        for number in range(requests + requests // 5):
            text = " ".join([f"{number:x}", *(WORDS[(number * 7 + each) % len(WORDS)] for each in range(words - 1))])
            body = json.dumps({"text": [text]}).encode()
            began = time.monotonic()
            answer = client.post(url, content=body)
            spans.append((began, time.monotonic()))
            answer.raise_for_status()
    return spans[requests // 5 :]


def stages(span: tuple[float, float], noted: Stamps) -> list[float] | None:
    """Milliseconds of each of STAGES for the request of this span; None if stamps are missing or out of order."""
    inside = noted[bisect_left(noted, (span[0], "")) : bisect_right(noted, (span[1], "~"))]
    found: dict[str, float] = {}
    for at, name in inside:
        if name in LATER or name not in found:
            found[name] = at
    times = [span[0], *(found.get(name, float("nan")) for name in list(STAGES)[:-1]), span[1]]
    steps = [(after - before) * 1000 for before, after in pairwise(times)]
    return steps if all(step >= 0 for step in steps) else None


def _table(rows: list[list[float]], place: str) -> Table:
    table = Table("stage", "median, ms", "p90, ms", title=f"{len(rows)} requests of one new text, one user; {place}")
    for title, column in zip(
        [*STAGES.values(), "all"], zip(*((*row, sum(row)) for row in rows), strict=True), strict=True
    ):
        table.add_row(title, f"{statistics.median(column):.2f}", f"{statistics.quantiles(column, n=10)[-1]:.2f}")
    return table


if __name__ == "__main__":
    run(main, httpx.HTTPError)
