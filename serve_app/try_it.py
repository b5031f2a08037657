"""The page at /project/ for people who would rather look than read: one file, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse

PAGE = Path(__file__).with_name("try_it.html")


def add_page(api: FastAPI, root: str) -> None:
    """Answer `root`/ with the page, and `root` with the way there."""
    page = PAGE.read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": content_security_policy(page), "Cache-Control": "no-cache"}

    @api.get(f"{root}/", include_in_schema=False)
    async def get_page() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    @api.get(root, include_in_schema=False)
    async def to_page() -> RedirectResponse:
        # relative, so that it holds behind any gateway
        return RedirectResponse(f"{root.rpartition('/')[2]}/")


def content_security_policy(page: str) -> str:
    """The policy under which only the page's own script and style run, and only its own origin is asked."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hashes(page, 'script')}",
            f"style-src {_hashes(page, 'style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _hashes(page: str, tag: str) -> str:
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
