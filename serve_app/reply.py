"""A finished HTTP answer, as ASGI sends it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Send

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers without Content-Length and Content-Type, and a JSON body."""

    status: int
    headers: Headers
    body: bytes

    async def send(self, send: Send) -> None:
        """Send it over bare ASGI."""
        headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def response(self) -> Response:
        """The same as a Starlette response."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers}
        return Response(self.body, self.status, headers, media_type="application/json")
