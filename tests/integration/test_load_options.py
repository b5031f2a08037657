"""load.js with k6's own options: the report is written each time, with what there is."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serve_app.local.ports import free_port
from tests.support.k6 import THRESHOLDS_FAILED, command, load, run
from tests.support.service import REPOSITORY
from tests.support.stub_service import fair, stub_service
from tests.support.wait import until

INTERRUPTED = 105
"""k6's exit status."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service that answers well."""
    with stub_service(fair) as url:
        yield url


def places(folder: Path) -> dict[str, str]:
    return {"REPORT": str(folder / "load.html"), "SUMMARY": str(folder / "load.json"), "DURATION": "2s"}


def written(folder: Path) -> tuple[str, dict[str, Any]]:
    """The page, and the figures of the JSON beside it; what is not known must be a dash."""
    page = (folder / "load.html").read_text(encoding="utf-8")
    assert not re.search(r"\b(undefined|NaN|null|\[object)\b", page)
    return page, json.loads((folder / "load.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "options",
    [
        ["--iterations", "20", "--vus", "2"],
        ["--duration", "2s", "--vus", "2"],
        ["--stage", "1s:2"],
        ["--summary-trend-stats", "avg"],
        ["--summary-trend-stats", "avg,p(95)"],
        ["--summary-trend-stats", "p(75),p(99.9),count"],
        ["--summary-trend-stats", ""],
        ["--summary-time-unit", "s"],
        ["--summary-mode", "full"],
        ["--summary-mode", "compact"],
        ["--summary-mode", "legacy"],
        ["--discard-response-bodies"],
        ["--no-setup"],
    ],
    ids=" ".join,
)
def test_the_report_is_written_and_every_threshold_holds(options: list[str], url: str, tmp_path: Path) -> None:
    done = load(url, *options, **places(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every threshold holds" in done.stdout
    page, figures = written(tmp_path)
    assert "Every threshold holds." in page
    assert figures["predicts"]["count"] > 0
    assert figures["slices"]


@pytest.mark.parametrize("way", ["option", "variable"])
def test_without_thresholds_the_report_says_so(
    way: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "variable":
        monkeypatch.setenv("K6_NO_THRESHOLDS", "true")
    done = load(url, *(["--no-thresholds"] if way == "option" else []), **places(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no threshold was judged" in done.stdout
    page, figures = written(tmp_path)
    assert "No threshold was judged." in page
    assert figures["predicts"]["count"] == figures["checks"][1]["passes"] > 0


def test_without_thresholds_failures_are_still_counted(tmp_path: Path) -> None:
    done = load(f"http://127.0.0.1:{free_port()}", "--no-thresholds", "--log-output", "none", **places(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100.000 % of the requests" in done.stdout
    page, figures = written(tmp_path)
    assert "no answer" in page
    assert figures["failures"]["0"] > 0


@pytest.mark.parametrize(
    "lost",
    [
        "for (const name in data.metrics) if (name.includes('{')) delete data.metrics[name]",
        "for (const name in data.metrics) if (name !== 'http_reqs') delete data.metrics[name]",
        "for (const name in data.metrics) data.metrics[name] = { values: {} }",
        "for (const name in data.metrics) delete data.metrics[name].values",
        "for (const name in data) delete data[name]",
    ],
)
def test_whatever_k6_does_not_hand_over_is_a_dash(lost: str, url: str, tmp_path: Path) -> None:
    """As other versions of k6 do, which keep no sub-metrics without thresholds."""
    script = tmp_path / "less.js"
    script.write_text(
        f'import run, {{ handleSummary as ours, options, setup }} from "{REPOSITORY}/load.js";\n'
        f"export {{ run as default, options, setup }};\n"
        f"export function handleSummary(data) {{ {lost}; return ours(data); }}\n"
    )
    done = run(command(url, (), places(tmp_path), script))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TypeError" not in done.stderr
    page, figures = written(tmp_path)
    assert figures["slices"] == []
    assert "no figures over time" in page
    assert "\u2013" in page


def test_a_run_without_a_request_has_a_report_of_dashes(url: str, tmp_path: Path) -> None:
    done = load(url, "--stage", "0s:0", **places(tmp_path))
    assert done.returncode == THRESHOLDS_FAILED
    assert "predict ms  med {0}  p(95) {0}  p(99) {0}  max {0}".format("\u2013") in done.stdout
    _, figures = written(tmp_path)
    assert figures["predicts"]["count"] == 0


def test_other_durations_are_those_of_the_run(url: str, tmp_path: Path) -> None:
    done = load(url, "--duration", "4s", "--vus", "1", **places(tmp_path) | {"USERS": "9"})
    assert done.returncode == 0, done.stdout + done.stderr
    _, figures = written(tmp_path)
    assert figures["settings"]["users"] == 1
    assert 4 <= figures["settings"]["seconds"] < 6
    rates = [each["predicts_per_s"] for each in figures["slices"]]
    assert max(rates) < 2 * figures["predicts"]["rate"], "what came after the slices is in none of them"


def test_vus_alone_change_nothing(url: str, tmp_path: Path) -> None:
    done = load(url, "--vus", "2", **places(tmp_path) | {"USERS": "5"})
    assert done.returncode == 0, done.stdout + done.stderr
    _, figures = written(tmp_path)
    assert figures["settings"]["users"] == 5
    assert max(each["users"] or 0 for each in figures["slices"]) > 2


def test_ctrl_c_ends_with_a_report_of_what_was_measured(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(texts: list[str]) -> tuple[int, Any]:
        asked.extend(texts)
        return fair(texts)

    with stub_service(answer) as here:
        endless = command(here, (), places(tmp_path) | {"DURATION": "5m"})
        process = subprocess.Popen(endless, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: len(asked) > 50, "the load has begun", 30)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == INTERRUPTED
    page, figures = written(tmp_path)
    assert "ended after" in page
    assert len(figures["slices"]) < 60
    assert figures["predicts"]["count"] > 0


def test_a_report_whose_folder_is_missing_is_written_where_k6_runs(url: str, tmp_path: Path) -> None:
    done = run(command(url, (), {"REPORT": "/no/such/load.html", "SUMMARY": "none/such/load.json"}), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("there is no folder for") == 2
    assert "/no/such/load.html; it will be written as load.html" in done.stderr
    assert "report      load.html, load.json" in done.stdout
    written(tmp_path)


def test_a_report_goes_into_a_folder_that_is_there(url: str, tmp_path: Path) -> None:
    (tmp_path / "with space").mkdir()
    done = load(url, **places(tmp_path / "with space"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "there is no folder" not in done.stderr
    written(tmp_path / "with space")
