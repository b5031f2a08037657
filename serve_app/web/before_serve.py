"""Middleware that answers predict requests before Ray Serve handles them, in the ingress replica's own process.

Serve's handling of a request (its tasks, context and metrics) costs more than a cache hit. A miss does not need it
either, since it reaches the model through a handle, nor does draining: Serve stops the HTTP server before it ends a
replica, and the server first finishes its requests.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Container

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.web.one_write import in_one_write

VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
CALLBACK = f"{__name__}:middlewares"
"""The value that the variable must have. Serve imports and calls it in every process that has an HTTP server."""

_REQUEST_ID = b"x-request-id"
_offered: list[Middleware] = []


def offer(app: ASGIApp, paths: Container[str]) -> None:
    """Have `app` answer each POST to `paths` in this process; to be called before Serve calls `middlewares`."""
    _offered[:] = [Middleware(BeforeServe, app, paths)]


def middlewares() -> list[Middleware]:
    """The middleware of this process' HTTP server around Serve: none, except in an ingress replica."""
    return list(_offered)


def unavailable() -> str | None:
    """Why this process' HTTP server does not call `middlewares`, or calls them in another thread; None if all is well.

    Then every request passes through Serve, to the same application.
    """
    constants = importlib.import_module("ray.serve._private.constants")
    if not hasattr(importlib.import_module("ray.serve._private.replica"), "configure_http_middlewares"):
        return "this version of Ray does not support middleware in a replica's HTTP server"
    if getattr(constants, VARIABLE, None) != CALLBACK:
        return f"{VARIABLE} is not {CALLBACK}"
    if getattr(constants, "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", True):
        return "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD is set"
    return None


class BeforeServe:
    """ASGI middleware outside Serve: `app` answers each POST to one of the paths, and Serve everything else."""

    def __init__(self, serve: ASGIApp, app: ASGIApp, paths: Container[str]) -> None:
        self._serve = serve
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Answers carry X-Request-Id, the caller's or a new one, as Serve's own do."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._paths:
            await self._serve(scope, receive, send)
            return
        given = None
        for name, value in scope["headers"]:
            if name == _REQUEST_ID:
                given = value
                break
        header = (_REQUEST_ID, b"%032x" % random.getrandbits(128) if given is None else given)

        send = in_one_write(send)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append(header)
            await send(message)

        await self._app(scope, receive, send_with_id)
