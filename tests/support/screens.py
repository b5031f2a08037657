"""Pages at the widths of a phone and a desktop."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from benchmarks.browser import DESKTOP, PHONE


def assert_fits_screens(page: Page, folder: Path, min_bytes: int) -> None:
    """Take a picture of the whole page at each width: it is not empty, and does not scroll sideways."""
    for name, (width, height) in {"phone": PHONE, "desktop": DESKTOP}.items():
        page.set_viewport_size({"width": width, "height": height})
        picture = folder / f"{name}.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > min_bytes
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing to scroll sideways"


def predict(page: Page, *lines: str) -> None:
    """Type texts into the try-it page and press Predict."""
    page.get_by_label("Texts, one a line").fill("\n".join(lines))
    page.get_by_role("button", name="Predict").click()
