"""The loads over HTTP, and their runs: by wrk for hits if it is installed, otherwise by k6."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.texts import COURSE_FIXED, COURSE_POOL, WORD_QUANTILES, WORDS

Golden = dict[str, float]


@dataclass(frozen=True)
class Load:
    """A row of the benchmark: `kind` of texts, closed loop of `users`, or open at `rate` requests a second.

    A new text has a sentence's length, or exactly `tokens`.
    """

    name: str
    kind: str
    users: int = 10
    rate: int = 0
    texts: int = 1
    tokens: int = 0


LOADS = (
    Load("hits", "hits"),
    Load("course load", "course"),
    Load("novel load", "novel"),
    Load("no cache, 1 user", "new", users=1),
    Load("no cache, 10 users", "new", users=10),
    Load("no cache, 50 users", "new", users=50),
)
LENGTHS = tuple(
    Load(f"1x{tokens}", "new", users=1, tokens=tokens)  # the lengths of published figures
    for tokens in (8, 16, 32, 64, 128, 512)
)
CAPACITY = "no cache, 50 users"
OPEN = {"no cache, open at 50 %": 0.5, "no cache, open at 90 %": 0.9}
"""Open loads: their arrival rates, as shares of the stack's throughput for 50 users in the same round."""


@dataclass(frozen=True)
class Figures:
    """The figures of a run of a load; times in ms, and the means of the stages that the service reports."""

    requests_per_s: float
    p50: float
    p90: float
    p99: float
    requests: int
    wrong: int
    """Wrong answers, refusals included."""
    stages: dict[str, float] = field(default_factory=dict)
    refused: int = 0


class WrongAnswers(RuntimeError):
    """A stack gave a wrong answer, or none: its speed does not count."""


def run_load(load: Load, url: str, seconds: int, golden: Golden, tolerance: float, build: Path) -> Figures:
    """Run a load; a wrong answer or an idle run is an error."""
    if load.kind == "hits" and shutil.which("wrk"):
        figures = _wrk(url, load.users, seconds, build)
    else:
        figures = _k6(load, url, seconds, golden, tolerance, build)
    if figures.wrong or not figures.requests:
        raise WrongAnswers(
            f"{load.name}: {figures.wrong} of {figures.requests} answers were wrong, {figures.refused} of them refusals"
        )
    return figures


def _k6(load: Load, url: str, seconds: int, golden: Golden, tolerance: float, build: Path) -> Figures:
    out, options = build / "k6.json", build / "k6-options.json"
    settings: dict[str, Any] = {
        "url": url,
        "kind": load.kind,
        "users": load.users,
        "rate": load.rate,
        "texts": load.texts,
        "tokens": load.tokens,
        "seconds": seconds,
        "fixed": COURSE_FIXED,
        "pool": COURSE_POOL,
        "words": WORDS,
        "quantiles": WORD_QUANTILES,
        "golden": golden,
        "tolerance": tolerance,
        "out": str(out),
    }
    options.write_text(json.dumps(settings))
    script = Path(__file__).with_name("load.js")
    k6 = shutil.which("k6")
    if k6 is None:
        raise RuntimeError("k6 is not on PATH; `make bench` puts it there")
    command = [k6, "run", "--quiet", "--no-usage-report", "-e", f"OPTIONS={options}", str(script)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    metrics = json.loads(out.read_text())
    if "predict_ms" not in metrics:
        raise WrongAnswers(f"{load.name}: no request was answered within {seconds} s")
    times, checks = metrics["predict_ms"]["values"], metrics["checks"]["values"]
    return Figures(
        metrics["iterations"]["values"]["rate"],
        times["med"],
        times["p(90)"],
        times["p(99)"],
        int(times["count"]),
        int(checks["fails"]),
        {
            name.removeprefix("stage_").removesuffix("_ms"): metric["values"]["avg"]
            for name, metric in metrics.items()
            if name.startswith("stage_") and metric["values"]["count"]
        },
        int(metrics["refused"]["values"]["count"]) if "refused" in metrics else 0,
    )


def _wrk(url: str, users: int, seconds: int, build: Path) -> Figures:
    script = build / "hits.lua"
    bodies = ",".join("'" + json.dumps({"text": [text]}) + "'" for text in COURSE_FIXED)
    script.write_text(
        f"local bodies = {{{bodies}}}\nlocal turn = 0\nrequest = function()\n  turn = turn % #bodies + 1\n"
        '  return wrk.format("POST", "/project/predict", nil, bodies[turn])\nend\n'
        "done = function(summary, latency)\n"
        "  local e = summary.errors\n"
        '  io.write(string.format("RESULT %d %d %f %f %f\\n", summary.requests, '
        "e.status + e.connect + e.read + e.write + e.timeout, latency:percentile(50) / 1000, "
        "latency:percentile(90) / 1000, latency:percentile(99) / 1000))\nend\n"
    )
    command = ["wrk", "-t1", f"-c{users}", f"-d{seconds}s", "-s", str(script), url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    found = re.search(r"RESULT (\d+) (\d+) (\S+) (\S+) (\S+)", output)
    if found is None:
        raise WrongAnswers(f"hits: wrk said {output!r}")
    requests, wrong, p50, p90, p99 = found.groups()
    return Figures(int(requests) / seconds, float(p50), float(p90), float(p99), int(requests), int(wrong))
