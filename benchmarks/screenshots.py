"""`make screenshots`: pictures of the load report and of the try-it page, for the README."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from playwright.sync_api import Browser, Error, Page

from benchmarks.browser import DESKTOP, PHONE, chromium
from benchmarks.command import run

TEXTS = (
    "I love this service, it is quick and kind.",
    "This is the worst meal I have ever had.",
    "It was not bad at all.",
)


def main(
    url: Annotated[str, typer.Option(help="The service.")] = "http://127.0.0.1:8000",
    report: Annotated[Path, typer.Option(exists=True, help="A report that load.js wrote.")] = Path(
        "build/load-report.html"
    ),
    pictures: Annotated[Path, typer.Option(file_okay=False, help="Where the pictures go.")] = Path("docs/images"),
) -> None:
    """Take pictures of the load report, and of the try-it page with texts and answers."""
    taken: dict[str, bytes] = {}
    with chromium() as browser:
        page = _open(browser, report.resolve().as_uri(), DESKTOP)
        taken["load-report"] = page.screenshot(full_page=True)
        for name, size in {"try-it": DESKTOP, "try-it-phone": PHONE}.items():
            page = _open(browser, f"{url}/project/", size)
            page.get_by_label("Texts, one a line").fill("\n".join(TEXTS))
            page.get_by_role("button", name="Predict").click()
            page.get_by_text("from the cache:").wait_for()
            taken[name] = page.screenshot(full_page=True)
    # only now, so that a service that does not answer leaves the old pictures, which belong together
    pictures.mkdir(parents=True, exist_ok=True)
    for name, picture in taken.items():
        (pictures / f"{name}.png").write_bytes(picture)


def _open(browser: Browser, url: str, size: tuple[int, int]) -> Page:
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme="light", reduced_motion="reduce"
    )
    page.goto(url)
    return page


if __name__ == "__main__":
    run(main, Error)
