"""A headless Chromium that is installed on the machine; none is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VARIABLE = "CHROME_BIN"
"""Environment variable that names another Chromium."""
ABSENT = f"none of {', '.join(NAMES)} is installed; on Debian: apt-get install chromium, or name one in {VARIABLE}"
ARGUMENTS = (
    "--no-sandbox",  # containers run as root, where Chromium has no sandbox; only our own pages are opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE, DESKTOP = (390, 844), (1280, 900)
"""Viewports, in CSS pixels."""


def find_chromium() -> str | None:
    """Path of the Chromium that CHROME_BIN names, otherwise of an installed one, or None."""
    named = os.environ.get(VARIABLE)
    return next((path for path in map(shutil.which, [named] if named else NAMES) if path), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for as long as the context lasts.

    Raises:
        FileNotFoundError: no Chromium is installed.
    """
    path = find_chromium()
    if path is None:
        named = os.environ.get(VARIABLE)
        raise FileNotFoundError(f"{VARIABLE}={named} is no program" if named else ABSENT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
