"""Security headers: browsers must not guess an answer's type, run anything in it, or send a referrer."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
"""Headers of every answer."""

NO_PAGE = b"default-src 'none'; frame-ancestors 'none'"
"""The policy of answers that are not pages: if one is shown as a page, nothing in it runs."""


class SecurityHeaders:
    """ASGI middleware that adds these headers to answers that lack them. Replies of the fast path have theirs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                has = {name.lower() for name, _ in message["headers"]}
                added = [*ALWAYS, (b"content-security-policy", NO_PAGE)]
                message["headers"] = [*message["headers"], *((name, value) for name, value in added if name not in has)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def page_policy(page: str, allowed: Mapping[str, str]) -> str:
    """The policy for a page: its inline scripts and styles by their hashes, and the sources `allowed` by directive."""
    directives = {
        "default-src": "'none'",
        "script-src": _hashes(page, "script"),
        "style-src": _hashes(page, "style"),
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    for name, sources in allowed.items():
        directives[name] = f"{sources} {directives[name]}".strip() if name in directives else sources
    return "; ".join(f"{name} {sources}" for name, sources in directives.items() if sources)


def _hashes(page: str, tag: str) -> str:
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
