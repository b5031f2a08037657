"""load.js with addresses, keys and places for its report that are unusual or wrong."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.local.ports import free_port
from tests.support.k6 import K6, SCRIPT_FAILED, THRESHOLDS_FAILED, command, load, run
from tests.support.service import REPOSITORY
from tests.support.stub_service import fair, stub_service
from tests.unit.test_documented import documented_exit_codes

KEY = "0123456789abcdef-key"
PASSWORD = "open-sesame"  # noqa: S105  (no password of anything)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service that answers well."""
    with stub_service(fair) as url:
        yield url


def assert_refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    """k6 ended before the first request, with one line."""
    assert done.returncode == SCRIPT_FAILED, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert message in line


@pytest.mark.parametrize("end", ["/", "//", "/project", "/project/", "//project//"])
def test_the_end_of_an_address_may_be_a_slash_or_project(end: str, url: str) -> None:
    done = load(url + end, DURATION="1s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"s at {url}\n" in done.stdout


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"BASE_URL": "127.0.0.1:9"}, "is 127.0.0.1:9;"),
        ({"BASE_URL": " http://127.0.0.1:9"}, "is  http://127.0.0.1:9;"),
        ({"BASE_URL": "http://127.0.0.1:9 "}, "is http://127.0.0.1:9 ;"),
        ({"BASE_URL": "http://"}, "is http://;"),
        ({"BASE_URL": "http:///project"}, "is http:///project;"),
        ({"BASE_URL": "ftp://a.example"}, "is ftp://a.example;"),
        ({"BASE_URL": "http://a.example?b"}, "is http://a.example?b;"),
        ({"BASE_URL": "http://a.example:port"}, "is http://a.example:port;"),
        ({"BASE_URL": "", "NAMESPACE": "a b"}, "is https://a b.mids255.com;"),
        ({"BASE_URL": f"me:{PASSWORD}@a.example"}, "is a.example;"),
        ({"BASE_URL": f"http://me:{PASSWORD}/@a.example"}, "is http://a.example;"),
        ({"BASE_URL": f"http://me:{PASSWORD} @a.example"}, "is http://a.example;"),
        ({"METRICS_URL": "127.0.0.1:8080/metrics"}, "METRICS_URL is 127.0.0.1:8080/metrics;"),
    ],
)
def test_an_address_that_is_no_url_is_refused_in_one_line(settings: dict[str, str], shown: str) -> None:
    done = load("http://127.0.0.1:1", **settings)
    assert_refused(done, shown)
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize("address", ["http://[::1]:9", "HTTP://127.0.0.1:9", "http://a_b.localhost:9/deep/er"])
def test_an_unusual_address_is_no_script_error(address: str) -> None:
    done = load(address, "--log-output", "none", "--iterations", "1")
    assert done.returncode == THRESHOLDS_FAILED


def test_user_and_password_are_sent_and_not_shown(tmp_path: Path) -> None:
    page, figures = tmp_path / "load.html", tmp_path / "load.json"
    basic = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    with stub_service(fair, required={"Authorization": f"Basic {basic}"}) as url:
        named = url.replace("://", f"://me:{PASSWORD}@")
        done = load(named, DURATION="1s", REPORT=str(page), SUMMARY=str(figures))
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(figures.read_text(encoding="utf-8"))["settings"]["url"] == url
    assert url in page.read_text(encoding="utf-8")
    for text in (done.stdout, done.stderr, page.read_text(encoding="utf-8"), figures.read_text(encoding="utf-8")):
        assert PASSWORD not in text


def test_a_password_is_not_in_k6s_log_of_failures() -> None:
    done = load(f"http://me:{PASSWORD}@127.0.0.1:{free_port()}", "--iterations", "1")
    assert "Request Failed" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("way", ["option", "variable"])
def test_an_api_key_is_sent_and_not_shown(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, figures = tmp_path / "load.html", tmp_path / "load.json"
    if way == "variable":
        monkeypatch.setenv("LOAD_API_KEY", KEY)
    key = {"LOAD_API_KEY": KEY} if way == "option" else {}
    with stub_service(fair, required={"X-API-Key": KEY}) as url:
        done = load(url, DURATION="1s", REPORT=str(page), SUMMARY=str(figures), **key)
    assert done.returncode == 0, done.stdout + done.stderr
    for text in (done.stdout, done.stderr, page.read_text(encoding="utf-8"), figures.read_text(encoding="utf-8")):
        assert KEY not in text


@pytest.mark.parametrize("status", [401, 403])
def test_refused_requests_are_counted_by_their_status(status: int, tmp_path: Path) -> None:
    figures = tmp_path / "load.json"
    with stub_service(lambda _: (status, {"detail": []})) as url:
        done = load(url, DURATION="1s", SUMMARY=str(figures))
    assert done.returncode == THRESHOLDS_FAILED
    assert set(json.loads(figures.read_text(encoding="utf-8"))["failures"]) == {str(status)}


def test_a_key_that_no_service_can_have_is_refused_and_not_shown() -> None:
    done = load("http://127.0.0.1:1", LOAD_API_KEY=f"{KEY}\n{KEY}")
    assert_refused(done, "LOAD_API_KEY has a blank or another character")
    assert KEY not in done.stderr


@pytest.mark.parametrize(
    "report", ["folder", "folder/", "{here}/folder", "none/folder", "file/x.html", "{here}/file/x.html", "a" * 300, "/"]
)
def test_a_report_that_cannot_be_written_is_refused_before_the_run(report: str, url: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    path = report.format(here=tmp_path)
    assert_refused(run(command(url, (), {"REPORT": path}), tmp_path), f"REPORT is {path}, where no file can be written")


@pytest.mark.parametrize("summary", ["load", "./load", ".//load", "none/load"])
def test_report_and_summary_are_two_files(summary: str, url: str, tmp_path: Path) -> None:
    done = run(command(url, (), {"REPORT": "load", "SUMMARY": summary}), tmp_path)
    assert_refused(done, "REPORT and SUMMARY are both load; name two files")


def test_a_folder_is_looked_for_where_k6_runs_and_not_beside_load_js(url: str, tmp_path: Path) -> None:
    assert (REPOSITORY / "docs").is_dir()
    (tmp_path / "reports").mkdir()
    places = {"DURATION": "1s", "REPORT": "docs/load-x.html", "SUMMARY": "reports/load.json"}
    done = run(command(url, (), places), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report      load-x.html, reports/load.json" in done.stdout
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")} == {"load-x.html", "reports/load.json"}


def test_a_report_is_replaced_and_may_be_a_pipe(url: str, tmp_path: Path) -> None:
    (tmp_path / "load.html").write_text("old", encoding="utf-8")
    places = {"DURATION": "1s", "REPORT": "load.html", "SUMMARY": "/dev/stdout"}
    done = run(command(url, (), places), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"settings"' in done.stdout
    assert "<title>Load report" in (tmp_path / "load.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "status"), [(["--vus", "2", "--iterations", "1"], 104), (["--no-such-option"], 255)]
)
def test_the_exit_codes_of_k6_are_documented(options: list[str], status: int, url: str) -> None:
    assert documented_exit_codes()["k6 run load.js"] >= {0, THRESHOLDS_FAILED, SCRIPT_FAILED, status}
    assert load(url, *options).returncode == status


def test_an_archive_of_k6_runs(url: str, tmp_path: Path) -> None:
    archive = tmp_path / "load.tar"
    named = ["-e", f"BASE_URL={url}", "-e", "DURATION=1s", "-e", "USERS=1"]
    made = run([K6, "archive", *named, "-O", str(archive), str(REPOSITORY / "load.js")])
    assert made.returncode == 0, made.stderr
    done = run(command(url, (), {"DURATION": "1s", "SUMMARY": "load.json"}, archive), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "load.json").exists()
