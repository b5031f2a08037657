"""Compresses larger answers with gzip, if the client accepts it."""

from __future__ import annotations

import asyncio
import zlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.web.reply import Headers

MIN_GZIP_BYTES = 4096
"""A smaller answer fits into a few packets either way."""

_LEVEL = 1  # four fifths of what level 9 saves, in a tenth of its time
_THREAD_BYTES = 256 << 10
"""From this size on (some 3 ms) compression runs in a thread, so that it does not delay other requests."""

_GZIP = 31  # zlib's `wbits` for the format
_BARE = (204, 206, 304)
"""Statuses without a body of their own, or with a part of one."""


def accepts_gzip(headers: Headers) -> bool:
    """Whether Accept-Encoding names gzip or `*`, with a weight that is not zero."""
    weights: dict[str, float] = {}
    for name, value in headers:
        if name == b"accept-encoding":
            for part in value.decode("latin-1").lower().split(","):
                coding, *parameters = (piece.strip() for piece in part.split(";"))
                weights[coding] = _weight(parameters)
    for coding in ("gzip", "x-gzip", "*"):
        if coding in weights:
            return weights[coding] > 0
    return False


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


class Compress:
    """ASGI middleware that sends answers through `CompressingSend`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            send = CompressingSend(send, scope["headers"])
        await self._app(scope, receive, send)


class CompressingSend:
    """ASGI's `send` that compresses the answer if it is large enough and the client accepts gzip."""

    def __init__(self, send: Send, headers: Headers) -> None:
        self._send = send
        self._headers = headers
        self._start: Message | None = None
        self._coder: zlib._Compress | None = None

    async def __call__(self, message: Message) -> None:
        """Send one ASGI message. The start is held back until the first part of the body, which decides."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] == "http.response.body":
            whole = not message.get("more_body", False)
            if self._start is not None:
                self._begin(self._start, len(message.get("body", b"")) if whole else None)
            if self._coder is not None:
                message = {**message, "body": await self._coded(self._coder, message.get("body", b""), last=whole)}
        if self._start is not None:
            start, self._start = self._start, None
            if self._coder is not None and "body" in message and not message.get("more_body", False):
                start["headers"].append((b"content-length", b"%d" % len(message["body"])))
            await self._send(start)
        await self._send(message)

    def _begin(self, start: Message, size: int | None) -> None:
        headers = {name.lower(): value for name, value in start["headers"]}
        if size is None:
            length = headers.get(b"content-length", b"")
            size = int(length) if length.isdigit() else MIN_GZIP_BYTES
        if size < MIN_GZIP_BYTES or start["status"] in _BARE or b"content-encoding" in headers:
            return
        kept = [(name, value) for name, value in start["headers"] if name.lower() != b"vary"]
        others = [headers[b"vary"]] if b"vary" in headers else []
        start["headers"] = [*kept, (b"vary", b", ".join([*others, b"Accept-Encoding"]))]
        if accepts_gzip(self._headers):
            self._coder = zlib.compressobj(_LEVEL, wbits=_GZIP)
            rest = [(name, _weak(name, value)) for name, value in start["headers"] if name.lower() != b"content-length"]
            start["headers"] = [*rest, (b"content-encoding", b"gzip")]

    @staticmethod
    async def _coded(coder: zlib._Compress, body: bytes, *, last: bool) -> bytes:
        def code() -> bytes:
            return coder.compress(body) + (coder.flush() if last else b"")

        return await asyncio.to_thread(code) if len(body) >= _THREAD_BYTES else code()


def _weak(name: bytes, value: bytes) -> bytes:
    """Make an ETag weak, since the compressed bytes differ; any other value stays."""
    return b"W/" + value if name.lower() == b"etag" and not value.startswith(b"W/") else value
