"""Which addresses of the Service are ready, over time, from its EndpointSlices."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

Object = dict[str, Any]
ERROR = "ERROR"
PAUSE_S = 0.5


class Slices(Protocol):
    """Where EndpointSlices come from."""

    def endpoint_slices(self, service: str) -> tuple[list[Object], str]:
        """All of the Service's, and the resource version to watch from."""
        ...

    def watch_endpoint_slices(self, service: str, version: str) -> Iterator[Object]:
        """Events after that version, until the server ends the watch."""
        ...


@dataclass
class Timeline:
    """How many addresses were ready from when on; None where nobody knows. By the driver's clock."""

    _changes: list[tuple[float, int | None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, when: float, ready: int | None) -> None:
        """So many from now on."""
        with self._lock:
            if not self._changes or self._changes[-1][1] != ready:
                self._changes.append((when, ready))

    def seconds(self, ready: int | None, start: float, end: float) -> float:
        """How long within the window exactly so many were ready."""
        with self._lock:
            changes = [*self._changes, (math.inf, None)]
        total = 0.0
        for (begins, number), (ends, _) in itertools.pairwise(changes):
            if number == ready:
                total += max(0.0, min(ends, end) - max(begins, start))
        return total


def ready_addresses(endpoint_slice: Object) -> set[str]:
    """Addresses that get traffic: ready, of which a missing condition is a yes."""
    return {
        address
        for endpoint in endpoint_slice.get("endpoints") or []
        for address in endpoint.get("addresses") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False
    }


class Watcher:
    """Follows the Service's EndpointSlices in a thread of its own and notes what is ready."""

    def __init__(self, slices: Slices, service: str) -> None:
        self.timeline = Timeline()
        self.addresses: frozenset[str] = frozenset()
        """What is ready now."""
        self._slices = slices
        self._service = service
        self._known: dict[str, Object] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="endpoints", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a watch under way ends with the process."""
        self._end.set()

    def take(self, event: Object) -> bool:
        """Take in an event; False where the watch has to begin anew."""
        if event.get("type") == ERROR:  # such as 410: the version is too old
            return False
        item = event["object"]
        if event["type"] == "DELETED":
            self._known.pop(item["metadata"]["name"], None)
        elif event["type"] in {"ADDED", "MODIFIED"}:
            self._known[item["metadata"]["name"]] = item
        self._note()
        return True

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                items, version = self._slices.endpoint_slices(self._service)
                self._known = {item["metadata"]["name"]: item for item in items}
                self._note()
                for event in self._slices.watch_endpoint_slices(self._service, version):
                    if self._end.is_set() or not self.take(event):
                        break
            except Exception:  # noqa: BLE001  (whatever it was, nobody knows the endpoints until the next list)
                self.timeline.note(time.time(), None)
                self._end.wait(PAUSE_S)

    def _note(self) -> None:
        self.addresses = frozenset().union(*map(ready_addresses, self._known.values()))
        self.timeline.note(time.time(), len(self.addresses))
