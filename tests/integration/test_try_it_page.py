"""The page at /project/ in a real browser: what a person does and sees there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from benchmarks.browser import DESKTOP
from tests.support.screens import assert_fits_screens, predict
from tests.support.service import Service


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """The page as it opens; whatever it asks elsewhere, and whatever goes wrong in it, fails the test."""
    asked: list[str] = []
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, reduced_motion="reduce")
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(f"{service.url}/project/")
    yield page
    stored = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
    context.close()
    assert stored == [0, 0, ""]
    assert {urlsplit(url).netloc for url in asked} == {f"127.0.0.1:{service.port}"}
    assert wrong == []


def test_it_forbids_other_origins(client: httpx.Client) -> None:
    answer = client.get("/project/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "http" not in policy
    assert "unsafe" not in policy


def test_the_path_without_a_slash_leads_there(client: httpx.Client) -> None:
    answer = client.get("/project")
    assert (answer.status_code, answer.headers["location"]) == (307, "project/")
    assert client.get("/project", follow_redirects=True).text == client.get("/project/").text


def test_a_person_sees_both_scores_the_cache_and_the_time(page: Page, tmp_path: Path) -> None:
    texts = ["This page is a joy to use.", "This page is an awful mess."]
    predict(page, *texts)
    expect(page.get_by_role("status")).to_contain_text("2 texts in")
    expect(page.get_by_role("status")).to_contain_text("0 from the cache: 1 positive, 1 negative.")
    items = page.locator("#answers > li")
    expect(items).to_have_count(2)
    for item, text, first in zip(items.all(), texts, ["positive", "negative"], strict=True):
        expect(item).to_contain_text(text)
        expect(item.locator(".score")).to_have_count(2)
        expect(item.locator(".first")).to_contain_text(first)
        widths = [bar.bounding_box() for bar in item.locator(".track").all()]
        assert all(box and box["width"] > 100 for box in widths)
    for stage in ("cache", "queue", "tokenize", "model"):
        expect(page.locator(f"dt.{stage}")).to_be_visible()

    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("status")).to_contain_text("2 from the cache")
    assert_fits_screens(page, tmp_path, min_bytes=10_000)


def test_the_keyboard_is_enough(page: Page) -> None:
    expect(page.get_by_label("Texts, one a line")).to_be_focused()
    page.keyboard.type("Typed without a mouse, and I love it.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_contain_text("1 text in")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Predict")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Texts, one a line")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("3 texts in")


def test_markup_in_a_text_stays_text(page: Page) -> None:
    predict(page, "<img src=x onerror=alert(1)><b>bold</b>")
    expect(page.locator("#answers")).to_contain_text("<img src=x onerror=alert(1)><b>bold</b>")
    assert page.locator("#answers img, #answers b").count() == 0


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (413, {}, "too much text"),
        (422, {}, "did not take these texts"),
        (429, {"Retry-After": "7"}, "busy. Try again in 7 s"),
        (503, {}, "model is not answering"),
        (500, {}, "failed with status 500"),
    ],
)
def test_an_error_is_shown_in_plain_words(page: Page, status: int, headers: dict[str, str], words: str) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=status, headers=headers, body='{"detail": []}')

    page.route("**/predict", refuse)
    predict(page, "anything")
    expect(page.get_by_role("alert")).to_contain_text(words)
    page.unroute("**/predict")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("status")).to_contain_text("1 text in")
    expect(page.get_by_role("alert")).to_be_empty()


def test_the_services_own_refusals_are_shown(page: Page) -> None:
    predict(page, *["x"] * 1001)
    expect(page.get_by_role("alert")).to_contain_text("did not take these texts")
    predict(page, "x " * 700_000)
    expect(page.get_by_role("alert")).to_contain_text("too much text")


def test_no_network_and_no_text_are_shown(page: Page) -> None:
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no text yet")
    page.context.set_offline(True)
    predict(page, "anything")
    expect(page.get_by_role("alert")).to_contain_text("could not be reached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_to_read(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    predict(page, "readable")
    expect(page.get_by_role("status")).to_contain_text("1 text in")
    for selector, least in {"h1": 7, ".quiet": 4.5, "#ask": 4.5, "#example": 4.5, "a": 4.5, "dt": 4.5}.items():
        assert page.evaluate(CONTRAST, selector) >= least, selector


CONTRAST = """selector => {
  const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const element = document.querySelector(selector);
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  const [dark, bright] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
    .map(light).sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
}"""
