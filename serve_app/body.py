"""Read a request's body within its limit."""

from __future__ import annotations

from starlette.types import Receive

from serve_app.errors import BodyTooLarge
from serve_app.reply import Headers


async def read_body(headers: Headers, receive: Receive, max_bytes: int) -> bytes:
    """The body's bytes; what there is of it where the client goes before it is whole.

    Raises:
        BodyTooLarge: the body is larger, by its own word or while it is read: without the second
            check an endless chunked body would fill the memory.
    """
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise _too_large(max_bytes)
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return body


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {max_bytes} bytes.", loc=["body"])
