"""Optional API-key and CORS middleware, and the guard against other origins' pages."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.errors import Unauthorized
from serve_app.metrics import Metrics
from serve_app.settings import Settings
from serve_app.web.api_keys import ApiKeys, with_owner
from serve_app.web.browsers import BrowserGuard
from serve_app.web.error_replies import error_reply
from serve_app.web.reply import Headers
from serve_app.web.security_headers import SecurityHeaders
from serve_app.web.trailing_slash import TrailingSlash

OPEN_PATHS = {
    "none": (),
    "health": ("/project/health",),
    "docs": ("/project", "/project/", "/project/docs", "/project/docs/*", "/project/openapi.json"),
}
"""The paths that each word of `api_keys_exempt` exempts; a final `/*` covers all paths below."""

_EXPOSED = ("X-Cache", "X-Model", "X-Truncated", "X-Truncated-Count", "X-Request-Id", "Server-Timing", "Retry-After")
_ASKED_WITH = ("Authorization", "Content-Type", "X-API-Key", "X-Request-Id", "X-Request-Timeout-Ms")
_TRACED_WITH = ("traceparent", "tracestate", "baggage", "sentry-trace")
"""Headers that tracing adds to a page's requests, of W3C and Sentry; they carry nothing to protect."""


def guarded(app: ASGIApp, settings: Settings, metrics: Metrics) -> ASGIApp:
    """The application behind the middleware of the settings, the trailing-slash redirect and the browser guard.

    Raises:
        BadKeysFile: the file of keys cannot be used.
    """
    if settings.api_keys_file is not None:
        app = KeyGuard(app, ApiKeys(settings.api_keys_file), open_paths(settings), metrics)
    app = TrailingSlash(app)  # outside the key guard: it reveals only paths that are public anyway
    if settings.cors_origins is not None:
        # outside the key guard: a browser's preflight request has no key
        more = settings.cors_headers.split(",") if settings.cors_headers else []
        app = SecurityHeaders(
            CORSMiddleware(
                app,
                allow_origins=settings.cors_origins.lower().split(","),  # as browsers send them
                allow_methods=("GET", "POST"),
                allow_headers=(*_ASKED_WITH, *_TRACED_WITH, *more),
                expose_headers=_EXPOSED,
            )
        )
    return BrowserGuard(app, settings, metrics)


def open_paths(settings: Settings) -> tuple[str, ...]:
    """The paths that need no key."""
    return tuple(path for word in settings.api_keys_exempt.split(",") for path in OPEN_PATHS[word])


class KeyGuard:
    """ASGI middleware that refuses a request without a valid key, unless its path needs none."""

    def __init__(self, app: ASGIApp, keys: ApiKeys, exempt: tuple[str, ...], metrics: Metrics) -> None:
        self._app = app
        self._keys = keys
        self._exact = frozenset(path for path in exempt if not path.endswith("/*"))
        self._below = tuple(path[:-1] for path in exempt if path.endswith("/*"))
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        key = next((key for key in _presented(scope["headers"]) if self._keys.accept(key)), None)
        if key is None and not self._is_open(scope["path"]):
            self._metrics.errors.add(Unauthorized.type, 1)
            await error_reply(Unauthorized()).send(send)
        else:
            await self._app({**scope, "headers": with_owner(scope["headers"], key)}, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in self._exact or path.startswith(self._below)


def _presented(headers: Headers) -> list[bytes]:
    """The keys in `X-API-Key` and in `Authorization: Bearer`; one of them may be meant for a gateway."""
    keys = []
    for name, value in headers:
        if name == b"x-api-key":
            keys.append(value.strip())
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            keys.append(value[7:].strip())
    return keys
