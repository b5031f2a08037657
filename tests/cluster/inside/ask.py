"""One request to the service, and what became of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import time
from dataclasses import dataclass, field
from typing import Any

PATH = "/project/predict"
OK, LIMITED = "ok", "limited"
"""Answered, and answered by 429 with Retry-After, which is no failure; every other kind is one."""


@dataclass(frozen=True)
class Outcome:
    """What became of a request."""

    kind: str
    """OK, LIMITED, or the kind of failure: refused, reset, time-out, unreachable, 5xx, 4xx or wrong answer."""
    began: float
    """`time.time()` when it was sent."""
    seconds: float
    detail: str = ""


class Address:
    """The service's address, looked up once and after each failure: a slow name server is not the service's fault."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.now = host

    def look_up(self) -> None:
        """Take the name's address of now; if it has none, what was known stays."""
        with contextlib.suppress(OSError):
            self.now = str(socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)[0][4][0])


@dataclass
class Caller:
    """A client with one connection, kept between requests or new for each."""

    address: Address
    port: int
    timeout_s: float
    keep: bool
    _connection: http.client.HTTPConnection | None = field(default=None, init=False, repr=False)

    def ask(self, texts: list[str]) -> Outcome:
        """Send the texts and judge the answer; never raises."""
        began, started = time.time(), time.perf_counter()
        try:
            status, headers, body = self.send("POST", PATH, json.dumps({"text": texts}).encode())
            kind, detail = judge(status, headers, body, len(texts))
        except (OSError, http.client.HTTPException) as error:
            self.close()
            self.address.look_up()
            kind, detail = failure_kind(error), type(error).__name__
        return Outcome(kind, began, time.perf_counter() - started, detail)

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, and body of one request.

        A kept connection that the server has closed while it was idle is opened again first, as every HTTP library
        does; one that the server closes while the request is under way is an error.
        """
        connection = self._open()
        connection.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
        response = connection.getresponse()
        content = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        if not self.keep or response.will_close:
            self.close()
        return response.status, headers, content

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> http.client.HTTPConnection:
        kept = self._connection
        if kept is not None and (kept.sock is None or select.select([kept.sock], [], [], 0)[0]):
            self.close()
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self.address.now, self.port, timeout=self.timeout_s)
            self._connection.connect()
            # the body follows the head in a packet of its own, which must not wait for the head's acknowledgement
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection


def judge(status: int, headers: dict[str, str], body: bytes, texts: int) -> tuple[str, str]:
    """The kind of an answer, and a detail where it is a failure."""
    if status == http.HTTPStatus.OK:
        return (OK, "") if is_right(body, texts) else ("wrong answer", "200 with another shape")
    if status == http.HTTPStatus.TOO_MANY_REQUESTS and headers.get("retry-after", "").isdigit():
        return LIMITED, ""
    return f"{status // 100}xx", str(status)


def is_right(body: bytes, texts: int) -> bool:
    """Whether the body holds, for each text, labels with scores in [0, 1], the highest first."""
    try:
        predictions: Any = json.loads(body)["predictions"]
        scores = [[float(label["score"]) for label in labels] for labels in predictions]
        named = all(isinstance(label["label"], str) for labels in predictions for label in labels)
    except (ValueError, KeyError, TypeError):
        return False
    ordered = all(row and row == sorted(row, reverse=True) and row[0] <= 1 and row[-1] >= 0 for row in scores)
    return named and ordered and len(scores) == texts


def failure_kind(error: OSError | http.client.HTTPException) -> str:
    """The kind of a failure without an answer."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "time-out"
    # a connection that ends before or in the middle of an answer, with a reset or without
    if isinstance(error, (ConnectionError, http.client.HTTPException)):
        return "reset"
    return "unreachable"
