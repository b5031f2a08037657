"""A finished HTTP answer, as ASGI sends it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Send

from serve_app.web.security_headers import ALWAYS

Headers = list[tuple[bytes, bytes]]

SAFE: Headers = [*ALWAYS, (b"cache-control", b"no-store")]
"""Headers of every reply: it is read as JSON only, and no cache on the way stores it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers except Content-Length, Content-Type and those in `SAFE`, and a JSON body."""

    status: int
    headers: Headers
    body: bytes

    async def send(self, send: Send) -> None:
        """Send it as ASGI messages."""
        headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
            *self.headers,
            *SAFE,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def response(self) -> Response:
        """The same as a Starlette response."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in [*self.headers, *SAFE]}
        return Response(self.body, self.status, headers, media_type="application/json")
