"""A small HTTP service with a test's answers, for load.js and for the try-it page."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serve_app.web.security_headers import page_policy

Answer = Callable[[list[str]], tuple[int, Any]]
"""Status and body for the texts of a predict request."""


def fair(texts: list[str]) -> tuple[int, Any]:
    """The answer of a good model with two labels."""
    return 200, {"predictions": [pair("NEGATIVE" if "worst" in text else "POSITIVE") for text in texts]}


def pair(first: str, score: float = 0.75) -> list[dict[str, object]]:
    """An answer with two labels, `first` before the other."""
    second = "POSITIVE" if first == "NEGATIVE" else "NEGATIVE"
    return [{"label": first, "score": score}, {"label": second, "score": 1 - score}]


def always(answer: Mapping[str, float]) -> Answer:
    """The same scores by label for each text, in the given order."""
    entries = [{"label": label, "score": score} for label, score in answer.items()]
    return lambda texts: (200, {"predictions": [entries for _ in texts]})


@contextmanager
def stub_service(
    answer: Answer, card: Mapping[str, Any] | None = None, page: str = "", required: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The address of a healthy service with this model card, or 404 without one, and this page.

    A request without each of the `required` headers is 401, and a POST to another path than predict's 404.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/project/" and page:
                self._send(200, page.encode(), "text/html; charset=utf-8", page_policy(page, {"img-src": "data:"}))
            elif self.path == "/project/model":
                self._send(404 if card is None else 200, card or {"detail": "Not Found"})
            else:
                self._send(200, {"status": "healthy"})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if "Content-Type" in self.headers and not page:
                self._send(415, {"detail": "the course sends none"})
            else:
                self._send(*answer(json.loads(body)["text"]))

        def _send(self, status: int, body: object, kind: str = "application/json", policy: str = "") -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(_refusal(self, required or {}) or status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if policy:
                self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _refusal(request: BaseHTTPRequestHandler, required: Mapping[str, str]) -> int | None:
    if any(request.headers[name] != value for name, value in required.items()):
        return 401
    return 404 if request.command == "POST" and request.path != "/project/predict" else None
