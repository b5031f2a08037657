"""Read a request's body within its limit."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

from serve_app.errors import BodyTooLarge


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body's bytes.

    Raises:
        BodyTooLarge: the body is larger, by its own word or while it is read: without the second
            check an endless chunked body would fill the memory.
    """
    too_large = BodyTooLarge(f"The body is larger than {max_bytes} bytes.", loc=["body"])
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > max_bytes:
                raise too_large
            parts.append(part)
    except ClientDisconnect:
        return b""  # nobody is left to be answered
    return b"".join(parts)
