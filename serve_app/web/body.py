"""Reads a request's body within its limits, and decodes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Message, Receive

from serve_app.errors import BodyTooLarge, BodyTooSlow, ClientGone
from serve_app.web.body_coding import body_coding, decoded, without_mark
from serve_app.web.eager import Begun
from serve_app.web.reply import Headers
from serve_app.web.unfinished import UnfinishedBodies


async def read_body(
    headers: Headers, receive: Receive, max_bytes: int, timeout_s: float, unfinished: UnfinishedBodies
) -> bytes:
    """The body's bytes, decoded.

    `max_bytes` limits the body both as it is sent and decoded.

    Raises:
        UnsupportedMediaType: its Content-Encoding or character set is not supported.
        InvalidRequest: it does not match its Content-Encoding.
        BodyTooLarge: it is larger, by Content-Length or by the bytes received: without the second check an endless
            chunked body would fill the memory.
        ClientGone: the client disconnected before it was complete.
        BodyTooSlow: it was not complete within `timeout_s` seconds, or when newer bodies needed its memory.
    """
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise _too_large(max_bytes)
    coding = body_coding(headers)
    began = Begun(receive())
    try:
        if began.result is not None and _is_last(began.result):
            body = began.result.get("body", b"")
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
        else:
            async with asyncio.timeout(timeout_s) as limit:
                with unfinished.receiving(limit):
                    first = began.result or await began
                    body = await _read(first, receive, max_bytes, lambda size: unfinished.add(limit, size))
    except TimeoutError:
        raise BodyTooSlow(
            f"The body was not complete within {timeout_s:g} s, or when newer bodies needed its memory.",
            loc=["body"],
            headers={"Connection": "close"},
        ) from None
    if coding is not None:
        body = await asyncio.to_thread(decoded, body, coding, max_bytes)
    return without_mark(body)


async def _read(message: Message, receive: Receive, max_bytes: int, received: Callable[[int], None]) -> bytes:
    # a list of parts, since one growing body would be copied for each of a million one-byte chunks
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
        if _is_last(message):
            return b"".join(parts)
        received(len(part))
        message = await receive()


def _is_last(message: Message) -> bool:
    return message["type"] == "http.request" and not message.get("more_body", False)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {max_bytes} bytes.", loc=["body"])
