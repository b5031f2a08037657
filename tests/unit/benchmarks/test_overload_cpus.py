"""Which CPUs `make overload` gives the service and its clients."""

from __future__ import annotations

import os

import pytest

from benchmarks.overload.cpus import split_cpus


@pytest.mark.parametrize(
    ("usable", "service", "clients"),
    [({0}, {0}, {0}), ({0, 1}, {0}, {1}), ({2, 3, 7}, {2, 3}, {7})],
)
def test_clients_have_a_cpu_for_themselves_where_there_are_two(
    monkeypatch: pytest.MonkeyPatch, usable: set[int], service: set[int], clients: set[int]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: usable, raising=False)
    assert split_cpus() == (service, clients)


def test_without_affinity_nothing_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert split_cpus() == (set(), set())
