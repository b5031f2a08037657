"""The page that load.js writes, in a real browser without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.browser import DESKTOP
from benchmarks.metrics_url import find_metrics
from serve_app.local.ports import free_port
from tests.support.k6 import THRESHOLDS_FAILED, load
from tests.support.screens import assert_fits_screens
from tests.support.service import Service
from tests.support.wait import until

SECONDS = 6
PLOTS = {
    "Latency of predict": ["med", "p(90)", "p(95)", "p(99)", "max"],
    "Predicts": ["predicts/s"],
    "Stages in the service, p(99)": ["cache"],
    "Stages in the service, mean": ["cache", "queue", "tokenize", "model"],
    "Texts from the cache": ["hit rate"],
    "Users": ["users"],
    "Failures": ["failed requests", "failed checks"],
    "Replicas that are well": ["ingress", "classifier"],
}
MIN_DRAWN = 3
"""Points of a line: a slow machine may have no figures of some seconds."""


@pytest.fixture(scope="module")
def report(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a short novel load on the running service."""
    folder = tmp_path_factory.mktemp("report")
    service.post("metrics begin")

    def replicas_are_reported() -> bool:
        url = find_metrics(service.port)
        return url is not None and "ray_serve_deployment_replica_healthy{" in httpx.get(url, timeout=10).text

    until(replicas_are_reported, "Ray reports which replicas are well", 60)
    page, figures = folder / "load.html", folder / "load.json"
    done = load(
        service.url,
        SCENARIO="novel",
        DURATION=f"{SECONDS}s",
        METRICS_URL=find_metrics(service.port) or "",
        REPORT=str(page),
        SUMMARY=str(figures),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"report      {page}, {figures}" in done.stdout
    return page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page without a network, in which anything that goes wrong fails the test."""
    asked: list[str] = []
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, offline=True)
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: wrong.append(said.text))
    yield page
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert wrong == []


def test_every_plot_has_data(report: Path, page: Page, tmp_path: Path) -> None:
    page.goto(report.as_uri())
    expect(page.locator("figure")).to_have_count(len(PLOTS))
    for title, series in PLOTS.items():
        figure = page.locator("figure", has=page.get_by_text(title, exact=True))
        for name in series:
            path = figure.locator(f'path[data-series="{name}"]').get_attribute("d") or ""
            points = re.findall(r"[ML](\S+) ([\d.]+)h0", path)
            assert len(points) >= MIN_DRAWN, f"{title}, {name}"
            assert len({x for x, _ in points}) == len(points)
    assert_fits_screens(page, tmp_path, min_bytes=20_000)


def test_the_tables_say_what_was_asked_and_what_came(report: Path, page: Page) -> None:
    page.goto(report.as_uri())
    expect(page.get_by_text("Every threshold holds.")).to_be_visible()
    section = {title: page.locator("section", has=page.get_by_role("heading", name=title)) for title in TABLES}
    for title, words in TABLES.items():
        for each in words:
            expect(section[title].first).to_contain_text(each)
    page.get_by_text("Every figure over time").click()
    expect(page.locator("details tbody tr")).to_have_count(SECONDS)


TABLES = {
    "Thresholds": ["p(99)<2000", "rate==0", "rate>=1"],
    "Checks of the answers": ["is healthy", "is well-formed", "is as before", "has the right labels"],
    "Failed requests": ["none"],
    "Times of the whole run, ms": ["predict_duration", "stage_model", "p(99.99)"],
}


def test_the_json_has_the_same_figures_by_slice(report: Path) -> None:
    figures = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))
    slices = figures["slices"]
    assert [each["start_s"] for each in slices] == list(range(SECONDS))
    predicts = sum(each["predicts_per_s"] * each["seconds"] for each in slices)
    assert round(predicts) == figures["metrics"]["http_reqs{route:predict}"]["values"]["count"]
    measured = [each for each in slices if each["predict_ms"]]
    worst = max(each["predict_ms"]["max"] for each in measured)
    assert worst == pytest.approx(figures["metrics"]["predict_duration"]["values"]["max"])
    assert all(0 <= each["hit_rate"] <= 1 for each in measured)
    assert {tuple(each["replicas"]) for each in slices if each["replicas"]} == {("ingress", "classifier")}
    assert all(each["replicas"]["ingress"] >= 1 for each in slices if each["replicas"])


def test_a_failed_run_says_so(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "load.html"
    done = load(f"http://127.0.0.1:{free_port()}", "--log-output", "none", DURATION="2s", REPORT=str(path))
    assert done.returncode == THRESHOLDS_FAILED
    page.goto(path.as_uri())
    expect(page.locator(".verdict.bad")).to_contain_text("Failed: ")
    expect(page.get_by_role("row", name="no answer")).to_be_visible()
    expect(page.get_by_role("row", name="http_req_failed rate==0 FAILED")).to_be_visible()
