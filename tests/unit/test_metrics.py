from __future__ import annotations

import pytest

from serve_app.metrics import Buckets, Metrics, Tally


def test_a_tally_hands_over_what_it_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally("some_texts", "Texts.", "source")
    handed: list[tuple[float, dict[str, str]]] = []
    monkeypatch.setattr(tally._counter, "inc", lambda number, tags: handed.append((number, tags)))
    tally.add("hit", 2)
    tally.add("hit", 3)
    tally.add("miss", 0)
    tally.flush()
    tally.flush()
    assert handed == [(5, {"source": "hit"})]


async def test_close_flushes_for_the_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    handed: list[float] = []
    monkeypatch.setattr(metrics.texts._counter, "inc", lambda number, tags: handed.append(number))  # noqa: ARG005
    metrics.start()
    metrics.texts.add("hit", 4)
    await metrics.close()
    assert handed == [4]


def test_buckets_hand_over_how_many_were_within_each_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    buckets = Buckets("some_ms", "Times.", [1, 2.5])
    handed: list[tuple[float, str]] = []
    monkeypatch.setattr(buckets._counter, "inc", lambda number, tags: handed.append((number, tags["le"])))
    for value in (0.5, 1.0, 2.0, 9.0):
        buckets.observe(value)
    buckets.flush()
    buckets.flush()
    assert handed == [(2, "1"), (3, "2.5"), (4, "+Inf")]
