"""`python -m tests.e2e.soak`: the course's load for a set time, and whether any process grows."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import psutil
import typer
from rich.console import Console

from benchmarks.machine import where
from benchmarks.stacks import service_python
from benchmarks.texts import COURSE_POOL
from serve_app.settings import MINI_MODEL
from tests.e2e.soak.sampler import Sampler
from tests.e2e.soak.trends import Trend
from tests.support.course_load import CourseLoad, Report
from tests.support.golden import golden, new_texts
from tests.support.redis_server import RedisServer
from tests.support.service import Service

EVERY_S = 5.0
WARM_UP_SHARE = 0.25
MAX_WARM_UP_S = 600.0
NEW_TEXTS = 4000
NAMED = 8
CONTROL = "tests.e2e.soak.leaky"
LEAK_KB = 10
"""Twice a second: 72 MB in an hour."""

SETTINGS = {
    "SENTIMENT_PRECISION": "fp32",
    # a cache that is full within the warm-up, and answers that expire: what still grows then is a leak
    "SENTIMENT_CACHE_ENTRIES": "1000",
    "SENTIMENT_CACHE_TTL_S": "10",
}


def markdown(trends: list[Trend], report: Report, minutes: float) -> str:
    """The processes as a table in Markdown, under what the load came to."""
    head = (
        f"{minutes:g} minutes on {where()}: {report.requests} requests, {report.failed} failed, {report.wrong} wrong, "
        f"slowest {report.slowest_s:.2f} s {dict(report.failures) or ''}"
    )
    lines = [
        head,
        "",
        "| process | MB at first | at last | MB an hour | files at first | at last | missed bars |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for each in trends:
        memory = f"{each.megabytes[0]:.1f} | {each.megabytes[1]:.1f} | {each.mb_per_hour:+.1f}"
        lines.append(
            f"| {each.name} | {memory} | {each.files[0]:.0f} | {each.files[1]:.0f} | {'; '.join(each.missed)} |"
        )
    return "\n".join(lines) + "\n"


def plot(sampler: Sampler, file: Path) -> None:
    """Each process' memory above its first, over time; those that changed most have a colour and a name."""
    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415  (after the backend is chosen)

    figure, axes = pyplot.subplots(figsize=(11, 5), layout="constrained")
    drawn = [(sampler.names[process], samples) for process, samples in sampler.samples.items() if len(samples) > 2]
    drawn.sort(key=lambda each: -abs(each[1][-1].megabytes - each[1][0].megabytes))
    for place, (name, samples) in enumerate(drawn):
        times = [sample.at_s / 60 for sample in samples]
        more = [sample.megabytes - samples[0].megabytes for sample in samples]
        style = {"label": name} if place < NAMED else {"color": "lightgrey", "zorder": 1}
        axes.plot(times, more, **style)
    axes.set(xlabel="minutes", ylabel="MB above the first sample")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), title="grey: the others")
    figure.savefig(file, dpi=120)


async def soak(service: Service, sampler: Sampler, seconds: float) -> Report:
    """Put the load on for so long, and sample."""
    new = new_texts(NEW_TEXTS, seed=0)
    answers = golden(MINI_MODEL, [*COURSE_POOL, *new])
    end = time.monotonic() + seconds
    async with CourseLoad(service.url, [answers], itertools.cycle(new)) as load:
        while time.monotonic() < end:
            await asyncio.to_thread(sampler.sample)
            await asyncio.sleep(EVERY_S)
    return load.report


def run(minutes: float, build: Path, console: Console) -> bool:
    """Soak a service of our own beside the leaking control; whether every bar was held and the control caught."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        redis = RedisServer(folder)
        redis.start()
        service = Service(folder, service_python(), REDIS_URL=redis.url, **SETTINGS)
        leaky = subprocess.Popen([sys.executable, "-m", CONTROL, str(LEAK_KB)])
        try:
            with console.status("starting the service"):
                service.start()
            assert service.process is not None
            sampler = Sampler(psutil.Process(service.process.pid), psutil.Process(leaky.pid))
            with console.status(f"{minutes:g} minutes of load"):
                report = asyncio.run(soak(service, sampler, minutes * 60))
            trends = sampler.trends(min(MAX_WARM_UP_S, minutes * 60 * WARM_UP_SHARE))
        finally:
            leaky.kill()
            leaky.wait()
            service.stop()
            redis.stop()
    build.mkdir(exist_ok=True)
    text = markdown(trends, report, minutes)
    (build / "soak.md").write_text(text, encoding="utf-8")
    record = {"minutes": minutes, "report": vars(report), "trends": [asdict(each) for each in trends]}
    (build / "soak.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    plot(sampler, build / "soak.png")
    typer.echo(text)
    growing = {each.name for each in trends if each.missed}
    control = {each.name for each in trends if CONTROL in each.name}
    if not control & growing:
        console.print("the leaking control was not caught, so this run says nothing")
    return growing == control and not report.failed and not report.wrong


def main(
    minutes: Annotated[float, typer.Option(min=0.5, help="How long the load lasts.")] = 10,
    build: Annotated[Path, typer.Option(help="Where soak.md, soak.json and soak.png go.")] = Path("build"),
) -> None:
    """Soak a service of our own; exit code 1 where a bar is missed."""
    if not run(minutes, build, Console(stderr=True)):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
