"""What the suite for clusters makes of the load's lines and of the EndpointSlices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.endpoints import Timeline, Watcher, ready_addresses
from tests.cluster.records import Records, Tally, percentile, together


def many(number: int, at: float, stream: str, ms: list[int], limited: int = 0) -> str:
    return json.dumps({"n": number, "at": at, "type": "many", "stream": stream, "ms": ms, "limited": limited})


def one(number: int, at: float, stream: str, kind: str, t: float, s: float) -> str:
    line = {"n": number, "at": at, "type": "one", "stream": stream, "kind": kind, "t": t, "s": s, "detail": ""}
    return json.dumps(line)


def test_a_window_holds_what_was_sent_in_it_and_keeps_streams_and_kinds_apart() -> None:
    records = Records()
    records.add(many(1, 100, "hit/kept", [1, 2, 3]), 100)
    records.add(many(2, 101, "hit/kept", [4], limited=2), 101)
    records.add(one(3, 111, "new/new", "time-out", 101.5, 9.5), 111)
    records.add(one(4, 112, "hit/kept", "ok", 101.6, 10.4), 112)
    records.add(many(5, 120, "hit/kept", [7]), 120)
    window = records.window(101, 120)
    assert window.keys() == {"hit/kept", "new/new"}
    hits = window["hit/kept"]
    assert (hits.requests, hits.answered, hits.limited, hits.failures) == (4, 2, 2, 0)
    assert hits.ms == [4, 10400]
    assert window["new/new"].failed == {"time-out": 1}
    assert window["new/new"].ms == [9500], "whoever asked waited for the failure too"


def test_windows_are_cut_by_the_drivers_clock_though_the_pods_differs() -> None:
    records = Records()
    records.add(many(1, 5000, "hit/new", [1]), 100.9)  # a slow line
    records.add(many(2, 5001, "hit/new", [2]), 101.1)
    assert records.window(101.05, 101.15)["hit/new"].ms == [2]
    assert records.window(100.05, 100.15)["hit/new"].ms == [1], "the fastest line tells the difference of the clocks"


def test_lines_that_come_twice_count_once_and_other_lines_are_none() -> None:
    records = Records()
    assert records.add(many(1, 1, "hit/new", [1]), 1)
    assert records.add(many(2, 2, "hit/new", [2]), 2)
    for line in (many(1, 1, "hit/new", [1]), many(2, 2, "hit/new", [2]), "Traceback", "{}", '{"n": 3, "at": 1}', "[]"):
        assert not records.add(line, 3)
    assert records.window(0, 10)["hit/new"].ms == [1, 2]
    assert records.last_arrival == 2


def test_streams_add_up() -> None:
    tallies = {"a": Tally(2, 1, ms=[1, 2]), "b": Tally(1, ms=[3])}
    whole = together(tallies, ["a", "b", "c"])
    assert (whole.requests, whole.ms) == (4, [1, 2, 3])
    assert tallies["a"].ms == [1, 2]
    assert whole.to_json() == {
        "requests": 4,
        "answered": 3,
        "limited": 1,
        "failed": {},
        "p50_ms": 2,
        "p99_ms": 3,
        "max_ms": 3,
    }


@pytest.mark.parametrize(
    ("values", "percent", "wanted"),
    [([], 50, None), ([5], 99, 5), (list(range(1, 101)), 99, 99), (list(range(1, 101)), 50, 50), ([2, 1], 100, 2)],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[int], percent: float, wanted: int | None
) -> None:
    assert percentile(values, percent) == wanted


def endpoint_slice(name: str, **addresses: bool | None) -> dict[str, Any]:
    endpoints = [
        {"addresses": [address], "conditions": {} if ready is None else {"ready": ready}}
        for address, ready in addresses.items()
    ]
    return {"metadata": {"name": name}, "endpoints": endpoints}


def test_an_address_is_ready_unless_its_slice_says_no() -> None:
    assert ready_addresses(endpoint_slice("s", a=True, b=False, c=None)) == {"a", "c"}
    assert ready_addresses({"metadata": {"name": "s"}, "endpoints": None}) == set()
    assert ready_addresses({"metadata": {"name": "s"}, "endpoints": [{"addresses": ["a"]}]}) == {"a"}


def test_the_timeline_says_how_long_nobody_was_ready_and_how_long_nobody_knew() -> None:
    timeline = Timeline()
    for when, ready in ((10.0, 2), (20.0, 0), (20.5, 0), (23.8, 2), (30.0, None), (31.5, 2)):
        timeline.note(when, ready)
    assert timeline.seconds(0, 0, 100) == pytest.approx(3.8)
    assert timeline.seconds(0, 22, 100) == pytest.approx(1.8)
    assert timeline.seconds(0, 0, 21) == pytest.approx(1.0)
    assert timeline.seconds(None, 0, 100) == pytest.approx(1.5)
    assert timeline.seconds(0, 24, 100) == 0
    assert Timeline().seconds(0, 0, 100) == 0


def test_the_watcher_counts_over_all_slices() -> None:
    class NoSlices:
        def endpoint_slices(self, service: str) -> Any: ...
        def watch_endpoint_slices(self, service: str, version: str) -> Any: ...

    watcher = Watcher(NoSlices(), "s")
    assert watcher.take({"type": "ADDED", "object": endpoint_slice("one", a=True)})
    assert watcher.take({"type": "ADDED", "object": endpoint_slice("two", b=True)})
    assert watcher.addresses == {"a", "b"}
    assert watcher.take({"type": "MODIFIED", "object": endpoint_slice("one", a=False)})
    assert watcher.addresses == {"b"}
    assert watcher.take({"type": "DELETED", "object": endpoint_slice("two", b=True)})
    assert watcher.addresses == frozenset()
    assert watcher.take({"type": "BOOKMARK", "object": {"metadata": {}}})
    assert not watcher.take({"type": "ERROR", "object": {"code": 410}}), "the list has to be read anew"
