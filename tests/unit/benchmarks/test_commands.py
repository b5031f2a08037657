"""How `python -m benchmarks...` commands end on a mistake: one line, and nothing is written or measured before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from playwright.sync_api import Error
from typer.models import OptionInfo

import benchmarks.__main__ as bench
import benchmarks.abuse.__main__ as abuse
import benchmarks.overload.__main__ as overload
import benchmarks.score.__main__ as score
from benchmarks import against, passes, screenshots
from benchmarks.loads import Figures
from benchmarks.overload.run import Plan
from tests.support.service import REPOSITORY


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        ("raise ModelError('a is not b')", 1, "error: a is not b"),
        ("raise RuntimeError('no k6\\nat all')", 1, "error: no k6"),
        ("raise KeyError('of another library')", 1, "error: 'of another library'"),
        ("raise typer.Exit(1)", 1, ""),
        ("child('echo first >&2; echo why >&2; exit 3', stderr=-1)", 1, "ended with 3: why"),
        ("child('exit 3')", 1, "error: sh -c 'exit 3' ended with 3"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, ""),
    ],
)
def test_an_error_is_one_line(body: str, status: int, line: str) -> None:
    code = (
        "import os, signal, subprocess, typer\n"
        "from benchmarks.command import run\nfrom model.errors import ModelError\n"
        "def child(line, **kept): subprocess.run(['sh', '-c', line], check=True, **kept)\n"
        f"def main() -> None:\n    {body}\nrun(main, KeyError)"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.strip().endswith(line)
    assert len(done.stderr.splitlines()) == bool(line)


@pytest.mark.parametrize(
    ("command", "status", "line"),
    [
        ("against /nosuch", 1, "error: /nosuch is no checkout of this repository: it has no benchmarks/model.py\n"),
        (f"against {REPOSITORY} --name fp8", 1, "error: --name fp8: give one of transformers, "),
        ("processes -- -1", 2, "'pid'"),
        ("processes 99999999", 1, "error: there is no process 99999999\n"),
        ("metrics_url", 2, "'port'"),
        ("metrics_url abc", 2, "'port'"),
        ("engine", 2, "usage: python -m benchmarks.engine DIR NAME THREADS"),
        ("engine /nosuch int8 1", 1, "error: /nosuch/config.json cannot be read"),
        ("startup", 2, "usage: python -m benchmarks.startup DIR CPUS\n"),
    ],
)
def test_a_wrong_argument_is_no_traceback(command: str, status: int, line: str) -> None:
    name, *arguments = command.split()
    done = python("-m", f"benchmarks.{name}", *arguments)
    assert done.returncode == status
    assert line in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("/nosuch").exists()


def test_the_environment_of_the_service_is_enough_for_the_url_of_metrics() -> None:
    code = "import sys; sys.modules['httpx'] = None; from benchmarks.metrics_url import _has_metrics as has"
    assert python("-c", f"{code}; print(has('http://127.0.0.1:1/metrics'))").stdout == "False\n"


def test_no_number_is_taken_that_measures_nothing() -> None:
    def minimum(main: Callable[..., None], name: str) -> float:
        (option,) = [
            each for each in get_args(get_type_hints(main, include_extras=True)[name]) if isinstance(each, OptionInfo)
        ]
        return -1 if option.min is None else option.min

    assert minimum(overload.main, "seconds") > Plan.fill_s
    assert minimum(score.main, "rows") // score.FEWER > 0
    for main, names in (
        (overload.main, ("texts", "factor")),
        (abuse.main, ("seconds",)),
        (passes.main, ("seconds",)),
        (against.main, ("rounds", "threads")),
    ):
        assert min(minimum(main, name) for name in names) >= 1
    assert min(minimum(score.main, name) for name in ("sst2", "mixed", "nodes")) == 0


class Page:
    """A page of a browser; of the service, which does not answer, there is none."""

    def goto(self, url: str) -> None:
        if url.startswith("http:"):
            raise Error("Page.goto: net::ERR_CONNECTION_REFUSED\nCall log")

    def screenshot(self, path: Path | None = None, **_: object) -> bytes:
        if path:
            path.write_bytes(b"new")
        return b"new"

    def new_page(self, **_: object) -> Page:
        return self


def test_pictures_of_a_service_that_does_not_answer_leave_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def chromium() -> Iterator[Page]:
        yield Page()

    monkeypatch.setattr(screenshots, "chromium", chromium)
    picture = tmp_path / "load-report.png"
    picture.write_bytes(b"old")
    with pytest.raises(Error):
        screenshots.main("http://127.0.0.1:1", REPOSITORY / "README.md", tmp_path)
    assert picture.read_bytes() == b"old"


def test_where_plots_cannot_be_drawn_no_document_has_other_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(name: str, result: Any = None) -> None:
        monkeypatch.setattr(bench, name, lambda *_: result)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    runs = [Figures(1.0, 1.0, 1.0, 1.0, 99, 0)]
    monkeypatch.setattr(bench, "BUILD", tmp_path)
    for name in ("base_model", "columns", "write_json", "show", "engine_table", "load_table", "summary"):
        fake(name)
    fake("measure", ({load.name: {"ours": runs} for load in bench.ALL}, {}))
    fake("_engines", {})
    fake("_start", {"total_s": 1.0, "stages_s": {}})
    fake("_cache_cost", [])
    fake("_fp32_memory", {})
    monkeypatch.setattr(bench, "draw", full)
    published: list[object] = []
    monkeypatch.setattr(bench, "publish", published.append)
    with pytest.raises(OSError, match="No space left"):
        bench.main(rounds=1, seconds=1, pictures=tmp_path / "images", only="", peers=False, old=None)
    assert not published
