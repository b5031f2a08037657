"""Redirects a known path with a trailing slash to the path."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.web.reply import Reply

PATHS = frozenset(f"/project/{name}" for name in ("predict", "bulk-predict", "health", "model", "docs", "openapi.json"))
_QUERY = "".join(chr(code) for code in range(0x21, 0x7F))


class TrailingSlash:
    """ASGI middleware that answers `PATH/` by 307, which keeps method and body, for each of PATHS.

    FastAPI's own redirect would name the scheme and host that it sees, which behind a gateway are not the caller's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"][-1:] == "/" and _has_extra_slash(scope):
            await _redirect(scope).send(send)
        else:
            await self._app(scope, receive, send)


def _has_extra_slash(scope: Scope) -> bool:
    # %2f does not count as a slash
    return scope["path"][:-1] in PATHS and scope.get("raw_path", b"/").endswith(b"/")


def _redirect(scope: Scope) -> Reply:
    location = f"../{scope['path'][:-1].rpartition('/')[2]}"
    if query := scope.get("query_string", b""):
        location += f"?{quote(query, safe=_QUERY)}"
    return Reply(307, [(b"location", location.encode())], b"")
