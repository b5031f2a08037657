"""Swagger UI in a real browser, under its Content-Security-Policy."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, expect

from tests.support.service import Service


def test_it_works_under_its_policy_and_asks_nobody_else(browser: Browser, service: Service) -> None:
    asked: list[str] = []
    wrong: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(f"{service.url}/project/docs")
    expect(page.get_by_text("/project/bulk-predict")).to_be_visible()
    page.get_by_text("/project/health").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table")).to_contain_text('"status": "healthy"')
    page.close()
    assert wrong == []
    local = [url for url in asked if not url.startswith(("data:", "blob:"))]
    assert {urlsplit(url).netloc for url in local} == {f"127.0.0.1:{service.port}"}


def test_the_policy_names_no_other_origin(client: httpx.Client) -> None:
    policy = client.get("/project/docs").headers["content-security-policy"]
    assert "script-src 'self' 'sha256-" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert "unsafe" not in policy
