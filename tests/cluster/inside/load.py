"""The load: cached and new texts, on kept and on new connections, as JSON lines on standard output.

A line a second and stream holds the milliseconds of what was answered; a line of its own is written for each request
that failed or took more than a second. Each line has a number, so that a reader that lost the log finds its place
again, and the time at which it was written, so that a reader with another clock can tell the difference.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TextIO

from tests.cluster.inside.ask import LIMITED, OK, Address, Caller, Outcome

HITS = (
    "The cache holds this sentence after the first time.",
    "A film that I would see again tomorrow.",
    "Two hours of my life that nobody gives back.",
)
SLOW_S = 1.0
RETRY_S = 0.2
"""After a failure without an answer, so that a service that is away is not asked in a tight loop."""


@dataclass(frozen=True)
class Stream:
    """Requests of one kind: cached or new texts, on kept or new connections."""

    text: str
    connection: str
    share: float
    """Of the rate of its texts."""
    callers: int
    """So many at once: a request that hangs must not end the stream."""

    @property
    def name(self) -> str:
        return f"{self.text}/{self.connection}"


STREAMS = (
    Stream("hit", "kept", 0.9, 6),
    Stream("hit", "new", 0.1, 4),
    Stream("new", "kept", 0.6, 6),
    Stream("new", "new", 0.4, 6),
)


@dataclass
class Report:
    """Gathers outcomes of all threads and writes them as lines."""

    out: TextIO
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1), repr=False)
    _ms: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _limited: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, stream: str, outcome: Outcome) -> None:
        """Count one request."""
        with self._lock:
            if outcome.kind == LIMITED:
                self._limited[stream] += 1
            elif outcome.kind == OK and outcome.seconds <= SLOW_S:
                self._ms[stream].append(round(outcome.seconds * 1000))
            else:
                self._write(
                    type="one",
                    stream=stream,
                    kind=outcome.kind,
                    t=round(outcome.began, 3),
                    s=round(outcome.seconds, 3),
                    detail=outcome.detail,
                )

    def flush(self) -> None:
        """Write what was answered since the last time."""
        with self._lock:
            for stream in sorted({*self._ms, *self._limited}):
                self._write(type="many", stream=stream, ms=self._ms[stream], limited=self._limited[stream])
            self._ms.clear()
            self._limited.clear()

    def _write(self, **line: object) -> None:
        self.out.write(json.dumps({"n": next(self._numbers), "at": round(time.time(), 3), **line}) + "\n")
        self.out.flush()


def new_text() -> str:
    """A text that no cache can hold."""
    return f"Nobody has ever written {random.getrandbits(64):x} about a film like {random.getrandbits(64):x}."


def run_caller(stream: Stream, caller: Caller, interval_s: float, report: Report, end: threading.Event) -> None:
    """Send one request every `interval_s` until the end; one that takes longer delays the next."""
    due = time.monotonic() + random.random() * interval_s
    while not end.wait(max(0.0, due - time.monotonic())):
        outcome = caller.ask([random.choice(HITS) if stream.text == "hit" else new_text()])
        report.add(stream.name, outcome)
        due = max(due + interval_s, time.monotonic() + (0.0 if outcome.kind in {OK, LIMITED} else RETRY_S))
    caller.close()


def run(host: str, port: int, rates: dict[str, float], timeout_s: float, report: Report, end: threading.Event) -> None:
    """Run every stream until the end.

    Args:
        host: name or address of the service.
        port: its port.
        rates: requests a second by text, `hit` and `new`.
        timeout_s: when a request counts as timed out.
        report: where outcomes go; written once a second.
        end: set when the load is to end.
    """
    address = Address(host)
    address.look_up()
    threads = []
    for stream in STREAMS:
        interval_s = stream.callers / (rates[stream.text] * stream.share)
        for _ in range(stream.callers):
            caller = Caller(address, port, timeout_s, keep=stream.connection == "kept")
            threads.append(threading.Thread(target=run_caller, args=(stream, caller, interval_s, report, end)))
    for thread in threads:
        thread.daemon = True
        thread.start()
    while not end.wait(1.0):
        report.flush()
    for thread in threads:
        thread.join(timeout_s + 1)
    report.flush()


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--hits-per-s", type=float, default=100)
    parser.add_argument("--new-per-s", type=float, default=5)
    parser.add_argument("--timeout-s", type=float, default=15)
    parser.add_argument("--seconds", type=float, default=0, help="end after so long; 0: never")
    arguments = parser.parse_args()
    end = threading.Event()
    if arguments.seconds:
        threading.Timer(arguments.seconds, end.set).start()
    rates = {"hit": arguments.hits_per_s, "new": arguments.new_per_s}
    run(arguments.host, arguments.port, rates, arguments.timeout_s, Report(sys.stdout), end)


if __name__ == "__main__":
    main()
