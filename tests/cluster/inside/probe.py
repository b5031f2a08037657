"""New texts to workers by their own addresses: how long each takes, as one JSON line at the end."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time

from tests.cluster.inside.ask import LIMITED, OK, Address, Caller, Outcome
from tests.cluster.inside.load import new_text

PAUSE_S = 0.2
CALLERS = 4
"""At each worker, since a request that hangs holds up its caller."""


def probe(hosts: list[str], port: int, seconds: float, timeout_s: float) -> list[Outcome]:
    """Outcomes of requests of one new text each, sent for so many seconds, with a new connection for each."""
    outcomes: list[Outcome] = []
    until = time.monotonic() + seconds

    def ask(host: str) -> None:
        caller = Caller(Address(host), port, timeout_s, keep=False)
        while time.monotonic() < until:
            outcomes.append(caller.ask([new_text()]))
            time.sleep(PAUSE_S)

    threads = [threading.Thread(target=ask, args=(host,), daemon=True) for host in hosts for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + timeout_s + 5)
    return outcomes


def summary(outcomes: list[Outcome]) -> dict[str, object]:
    """The figures that the suite reads."""
    failed = [outcome for outcome in outcomes if outcome.kind not in {OK, LIMITED}]
    return {
        "requests": len(outcomes),
        "limited": sum(outcome.kind == LIMITED for outcome in outcomes),
        "failed": len(failed),
        "kinds": sorted({f"{outcome.kind} {outcome.detail}".strip() for outcome in failed}),
        "slowest_s": round(max((outcome.seconds for outcome in outcomes), default=0.0), 3),
    }


def main() -> None:
    """Probe the addresses given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("hosts", nargs="+")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--timeout-s", type=float, default=15)
    arguments = parser.parse_args()
    outcomes = probe(arguments.hosts, arguments.port, arguments.seconds, arguments.timeout_s)
    sys.stdout.write(json.dumps(summary(outcomes)) + "\n")


if __name__ == "__main__":
    main()
