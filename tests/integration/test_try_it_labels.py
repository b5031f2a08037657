"""The page at /project/ for models of any labels, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.browser import DESKTOP
from serve_app.web.try_it import read_page
from tests.support.screens import assert_fits_screens, predict
from tests.support.stub_service import always, stub_service


@contextmanager
def labelled(browser: Browser, answer: dict[str, float], card: dict[str, Any] | None) -> Iterator[Page]:
    """The page, as a service serves it whose model gives that answer to every text."""
    with stub_service(always(answer), card, read_page()) as url:
        page = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, reduced_motion="reduce")
        page.goto(f"{url}/project/")
        yield page
        page.close()


def rows(page: Page) -> list[tuple[str, str]]:
    """Name and colour of each score of the first text, from top to bottom."""
    scores = page.locator("#answers > li").first.locator(".score").all()
    names = [row.locator(".name").text_content() or "" for row in scores]
    return [
        (name, (row.locator(".bar").get_attribute("class") or "").split()[1])
        for name, row in zip(names, scores, strict=True)
    ]


@pytest.mark.parametrize(
    ("labels", "answer", "wanted"),
    [
        (
            ["NEGATIVE", "POSITIVE"],
            {"POSITIVE": 0.9, "NEGATIVE": 0.1},
            [("positive", "positive"), ("negative", "negative")],
        ),
        (
            ["negative", "Neutral", "POSITIVE"],
            {"Neutral": 0.6, "POSITIVE": 0.3, "negative": 0.1},
            [("negative", "negative"), ("Neutral", "neutral"), ("positive", "positive")],
        ),
        (
            ["sadness", "joy", "Love", "anger", "fear", "surprise"],
            {"joy": 0.7, "Love": 0.2, "sadness": 0.05, "anger": 0.03, "fear": 0.01, "surprise": 0.01},
            [
                ("sadness", "other0"),
                ("joy", "other1"),
                ("Love", "other2"),
                ("anger", "other3"),
                ("fear", "other0"),
                ("surprise", "other1"),
            ],
        ),
    ],
)
def test_every_label_has_its_row_in_the_models_order(
    browser: Browser, labels: list[str], answer: dict[str, float], wanted: list[tuple[str, str]]
) -> None:
    with labelled(browser, answer, {"labels": labels}) as page:
        predict(page, "one", "two")
        expect(page.get_by_role("status")).to_contain_text("2 texts in")
        assert rows(page) == wanted
        first = max(answer, key=lambda label: answer[label])
        expect(page.locator("#answers > li").first.locator(".first .name")).to_have_text(first, ignore_case=True)


def test_a_service_that_does_not_name_its_labels_has_them_by_name(browser: Browser) -> None:
    with labelled(browser, {"b": 0.5, "c": 0.3, "a": 0.2}, None) as page:
        predict(page, "one")
        expect(page.get_by_role("status")).to_contain_text("1 text in")
        assert [name for name, _ in rows(page)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"POSITIVE": 0.9, "NEGATIVE": 0.1}, ": 2 positive, 0 negative."),
        ({"neutral": 0.6, "positive": 0.3, "negative": 0.1}, ": 2 neutral."),
        ({"joy": 0.9, "love": 0.8}, ": highest: 2 joy, 0 love."),
    ],
)
def test_the_status_counts_by_label(browser: Browser, answer: dict[str, float], words: str) -> None:
    with labelled(browser, answer, {"labels": sorted(answer)}) as page:
        predict(page, "one", "two")
        expect(page.get_by_role("status")).to_contain_text(words)


def test_long_strange_and_many_labels_fit_screens_as_text(browser: Browser, tmp_path: Path) -> None:
    strange = ["Überraschung, Staunen und alles andere", "<img src=x onerror=alert(1)>", "非常", "x" * 60]
    labels = [*strange, *(f"emotion {number}" for number in range(24))]
    answer = {label: 1 / len(labels) for label in labels}
    with labelled(browser, answer, {"labels": labels}) as page:
        predict(page, "one")
        expect(page.get_by_role("status")).to_contain_text("1 text in")
        assert [name for name, _ in rows(page)] == labels
        assert page.locator("#answers img").count() == 0
        assert_fits_screens(page, tmp_path, min_bytes=10_000)
        boxes = [track.bounding_box() for track in page.locator(".track").all()]
        assert all(box and box["width"] > 50 for box in boxes), "a bar is left on a phone too"
