"""The try-it page at /project/: one document that loads nothing from other servers."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse

from serve_app.web.security_headers import page_policy

PAGE, SCRIPT = (Path(__file__).with_name(name) for name in ("try_it.html", "try_it.js"))


def read_page() -> str:
    """The document, with its script inlined."""
    return PAGE.read_text(encoding="utf-8").replace(
        "<script></script>", f"<script>\n{SCRIPT.read_text(encoding='utf-8')}</script>"
    )


def add_page(api: FastAPI, root: str) -> None:
    """Answer `root`/ with the page, and `root` with a redirect to it."""
    page = read_page()
    headers = {"Content-Security-Policy": page_policy(page, {"img-src": "data:"}), "Cache-Control": "no-cache"}

    @api.get(f"{root}/", include_in_schema=False)
    async def get_page() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    @api.get(root, include_in_schema=False)
    async def to_page() -> RedirectResponse:
        # relative, so that it works behind any gateway
        return RedirectResponse(f"{root.rpartition('/')[2]}/")
