"""Texts that must leave no trace: every way to send one, and a search that reports how much it has searched."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import redis

LIMIT = 1 << 20
Send = Callable[[httpx.Client, str], httpx.Response]


def _predict(body: Callable[[str], bytes], path: str = "predict", method: str = "POST") -> Send:
    def send(client: httpx.Client, canary: str) -> httpx.Response:
        return client.request(method, f"/project/{path.replace('CANARY', canary)}", content=body(canary))

    return send


def _with_headers(**headers: str) -> Send:
    def send(client: httpx.Client, canary: str) -> httpx.Response:
        given = {name.replace("_", "-"): value.replace("CANARY", canary) for name, value in headers.items()}
        return client.post("/project/predict", json={"text": [canary]}, headers=given)

    return send


def texts(*items: object) -> bytes:
    return json.dumps({"text": items}).encode()


KINDS: dict[str, tuple[Send, int]] = {
    "predict": (_predict(texts), 200),
    "bulk-predict": (_predict(texts, "bulk-predict"), 200),
    "twenty texts": (_predict(lambda canary: texts(*(f"{canary} {n}" for n in range(20)))), 200),
    "truncated": (_predict(lambda canary: texts(f"{canary} " * 600)), 200),
    "log injection": (_predict(lambda canary: texts(f"\r\n2026-01-01 ERROR {canary} %s %(x)s {{}}\x1b[31m")), 200),
    "query": (_predict(texts, "predict?text=CANARY"), 200),
    "headers": (_with_headers(user_agent="CANARY", cookie="a=CANARY", referer="http://CANARY/"), 200),
    "origin": (_with_headers(origin="http://CANARY"), 403),
    "host": (_with_headers(host="CANARY.example"), 421),
    "request id": (_with_headers(x_request_id="CANARY %0aERROR", traceparent="CANARY"), 200),
    "content type": (_with_headers(x_forwarded_for="CANARY", content_type="CANARY"), 200),
    "cut off": (_predict(lambda canary: texts(canary)[:-3]), 422),
    "not JSON": (_predict(lambda canary: canary.encode()), 422),
    "unknown field": (_predict(lambda canary: json.dumps({"text": ["a"], canary: canary}).encode()), 422),
    "wrong type": (_predict(lambda canary: texts(canary, 5)), 422),
    "string": (_predict(lambda canary: json.dumps({"text": canary}).encode()), 422),
    "deep": (_predict(lambda canary: b'{"text": ' + b"[" * 50_000 + canary.encode()), 422),
    "lone surrogate": (_predict(lambda canary: b'{"text": ["\\ud800 ' + canary.encode() + b'"]}'), 422),
    "bad UTF-8": (_predict(lambda canary: b'{"text": ["\xff ' + canary.encode() + b'"]}'), 422),
    "one text too long": (_predict(lambda canary: texts(canary * 10_000)), 422),
    "oversize": (_predict(lambda canary: texts(canary).ljust(LIMIT + 1)), 413),
    "no such path": (_predict(texts, "CANARY"), 404),
    "wrong method": (_predict(texts, method="PUT"), 405),
    "wrong key": (_with_headers(x_api_key="CANARY"), 401),
    "wrong bearer": (_with_headers(x_api_key="", authorization="Bearer CANARY"), 401),
}
"""Each way through HTTP, by name, with the status that it ends in."""

RAW: dict[str, Callable[[str], bytes]] = {
    "no HTTP": lambda canary: f"{canary}\r\n\r\n".encode(),
    "long header": lambda canary: f"GET /project/health HTTP/1.1\r\nHost: x\r\nX-A: {canary * 4000}\r\n\r\n".encode(),
    "gone in the body": lambda canary: request(texts(canary))[:-5],
    "gone at once": lambda canary: request(texts(canary, *(f"{canary} {n}" for n in range(30)))),
}
"""Bytes after which the client closes without reading."""


def request(body: bytes) -> bytes:
    return b"POST /project/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def send_and_close(port: int, data: bytes) -> None:
    """Send as much as the server reads before it refuses, and disconnect."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(data)


class Syslog:
    """A receiver of HAProxy's log lines: its own UDP port, which keeps all messages."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.lines: list[bytes] = []
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _receive(self) -> None:
        while line := self._socket.recv(65536):
            self.lines.append(line)


@dataclass
class Search:
    """Searches for one word, also as hex digits and as UTF-16, ignoring case."""

    word: str
    looked: dict[str, int] = field(default_factory=dict)
    """Bytes searched, by place."""
    found: list[str] = field(default_factory=list)
    """The places where it was found."""

    def __post_init__(self) -> None:
        self._forms = [self.word.encode(), self.word.encode().hex().encode(), self.word.encode("utf-16-le")]

    def look(self, place: str, data: bytes) -> None:
        self.looked[place] = self.looked.get(place, 0) + len(data)
        lowered = data.lower()
        if any(form in lowered for form in self._forms):
            self.found.append(place)

    def look_in_files(self, place: str, folder: Path) -> None:
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                before = len(self.found)
                try:
                    self.look(place, file.read_bytes())
                except FileNotFoundError:  # Ray and Serve clean up as they go
                    continue
                self.found[before:] = [f"{place}: {file.relative_to(folder)}"] * (len(self.found) - before)

    def look_in_redis(self, client: redis.Redis) -> None:
        for key in client.scan_iter(count=1000):
            self.look("redis", bytes(key) + b" " + bytes(client.dump(key) or b""))

    def look_in_pages(self, place: str, urls: Iterable[str]) -> None:
        for url in urls:
            self.look(place, httpx.get(url, timeout=30).raise_for_status().content)
