"""Counts and times every request, whether it came through Serve or before it."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.errors import ClientGone
from serve_app.metrics import Metrics


class Counted:
    """ASGI middleware around the whole application. A request without an answer counts as a client's disconnect."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = ClientGone.status

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._metrics.requests.add(str(status), 1)
            self._metrics.request_ms.observe((time.perf_counter() - began) * 1000)
