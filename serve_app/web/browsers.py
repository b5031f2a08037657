"""Refuses requests that pages of other sites make a visitor's browser send; programs send none of these headers."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.errors import CrossSite, ForeignHost, ServiceError
from serve_app.haproxy import ON_LOOPBACK
from serve_app.metrics import Metrics
from serve_app.settings import Settings
from serve_app.web.error_replies import error_reply
from serve_app.web.reply import Headers

_ON_LOOPBACK = ON_LOOPBACK.encode()
_CHECKED_HEADERS = {b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"x-forwarded-host", _ON_LOOPBACK}
_CACHED_HOSTS = 128
"""Cached results of the check of a Host; each Host is at most as long as a request's headers may be."""
_OWN = {b"same-origin", b"none"}
"""Sec-Fetch-Site of the service's own pages, and of typed addresses and bookmarks."""
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")


class BrowserGuard:
    """ASGI middleware that refuses requests that a browser sends for a page of an origin that is not allowed.

    Other origins are allowed by CORS settings. A link to the service may be followed from any page. On loopback, Host
    must name this machine: pages of a foreign name that resolves to it would otherwise count as the service's own.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._origins = frozenset((settings.cors_origins or "none").lower().split(","))
        self._hosts = frozenset((settings.allowed_hosts or "localhost").lower().split(","))
        # callers send the same few hosts again and again, and parsing an address takes 5 us
        self._names_this_machine = lru_cache(_CACHED_HOSTS)(self._is_this_machine)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        fault = self._fault(scope["method"], scope["headers"]) if scope["type"] == "http" else None
        if fault is None:
            await self._app(scope, receive, send)
        else:
            self._metrics.errors.add(fault.type, 1)
            await error_reply(fault).send(send)

    def _fault(self, method: str, headers: Headers) -> ServiceError | None:
        found: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in _CHECKED_HEADERS:
                found.setdefault(name, []).append(value.strip().lower())
        if _ON_LOOPBACK in found:
            for host in found.get(b"host", ()):
                if not self._names_this_machine(host):
                    return ForeignHost()
        # a preflight has no effect, and CORS answers it
        if method != "OPTIONS" and not self._is_allowed(method, found):
            return CrossSite()
        return None

    def _is_allowed(self, method: str, found: dict[bytes, list[bytes]]) -> bool:
        origins = found.get(b"origin", [])
        sites = found.get(b"sec-fetch-site", [])
        if not origins and not sites:  # not a browser
            return True
        if "*" in self._origins or (origins and all(origin.decode("latin-1") in self._origins for origin in origins)):
            return True
        if sites:
            followed = method in {"GET", "HEAD"} and found.get(b"sec-fetch-mode") == [b"navigate"]
            return followed or all(site in _OWN for site in sites)
        # old browsers, and plain HTTP, send no Sec-Fetch-Site
        hosts = found.get(b"host", []) + found.get(b"x-forwarded-host", [])
        own = {host.removesuffix(port) for host in hosts for port in (b"", b":80", b":443")}
        return all(origin.partition(b"://")[2] in own for origin in origins)

    def _is_this_machine(self, host: bytes) -> bool:
        match = _HOST.fullmatch(host.decode("latin-1"))
        if match is None:
            return False
        name = match[1].rstrip(".")
        if "*" in self._hosts or name in self._hosts or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            # a name without dots resolves only in this network, so no outsider can point it to this machine
            return re.fullmatch(r"[a-z0-9_-]*", name) is not None
