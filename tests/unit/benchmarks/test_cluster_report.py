"""The bars, the table and the JSON of the suite for clusters, and which steps it runs."""

from __future__ import annotations

import io
import json
from collections import Counter

import pytest
from rich.console import Console

from tests.cluster.inside.load import STREAMS
from tests.cluster.kills import judge_probe
from tests.cluster.outcome import Bar
from tests.cluster.records import Tally
from tests.cluster.report import Row, missed, table, to_json
from tests.cluster.run import choose
from tests.cluster.steps import STEPS


def streams(**failed: int) -> dict[str, Tally]:
    """A tally of each stream with ten answers, and failures by stream, `/` as `_`."""
    return {
        stream.name: Tally(10, 1, Counter({"reset": failed.get(stream.name.replace("/", "_"), 0)}), [5] * 10)
        for stream in STREAMS
    }


def test_a_step_holds_when_nothing_failed_and_an_endpoint_was_always_there() -> None:
    assert missed(Bar.NOTHING_FAILS, streams(), 0.0) == []
    assert missed(Bar.NOTHING_FAILS, streams(hit_new=1), 0.0) == ["hit/new: 1 of 12 failed (1 reset)"]
    assert missed(Bar.NOTHING_FAILS, streams(new_kept=2), 0.0) == ["new/kept: 2 of 13 failed (2 reset)"]
    assert missed(Bar.NOTHING_FAILS, streams(), 0.7) == ["0.7 s without an endpoint"]


def test_a_force_kill_may_cost_new_texts_but_no_hit() -> None:
    assert missed(Bar.NO_HIT_FAILS, streams(new_new=3), 5.0) == []
    assert missed(Bar.NO_HIT_FAILS, streams(hit_kept=1), 0.0) == ["hit/kept: 1 of 12 failed (1 reset)"]
    assert missed(Bar.NONE, streams(hit_kept=1), 9.0) == []


def test_a_stream_in_which_nothing_was_sent_proves_nothing() -> None:
    without = streams()
    del without["new/new"]
    assert missed(Bar.NOTHING_FAILS, without, 0.0) == ["new/new: nothing was sent"]
    assert missed(Bar.NO_HIT_FAILS, without, 0.0) == []
    assert len(missed(Bar.NO_HIT_FAILS, {}, 0.0)) == 2


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('{"requests": 90, "failed": 0, "slowest_s": 1.4, "kinds": []}', []),
        ('{"requests": 90, "failed": 0, "slowest_s": 10.2, "kinds": []}', ["a new text took 10.2 s, more than 3 s"]),
        (
            'noise\n{"requests": 9, "failed": 2, "slowest_s": 1.0, "kinds": ["5xx 503"]}',
            ["2 new texts failed at the workers that are left: 5xx 503"],
        ),
        (
            '{"requests": 0, "failed": 0, "slowest_s": 0.0, "kinds": ["no"]}',
            ["the workers that are left could not be asked: no"],
        ),
        ("", ["the workers that are left could not be asked"]),
        ("Traceback", ["the workers that are left could not be asked"]),
    ],
)
def test_new_texts_are_judged_at_the_workers_that_are_left(line: str, wanted: list[str]) -> None:
    assert judge_probe(line)[1] == wanted


def test_the_table_shows_kept_and_new_connections_apart_and_what_was_missed() -> None:
    held = Row("scale up", Bar.NOTHING_FAILS, ready_s=41.6, streams=streams())
    bad = Row("upgrade [x]", Bar.NOTHING_FAILS, ready_s=90, no_endpoint_s=3.81, streams=streams(hit_new=3))
    bad.missed, bad.notes = ["hit/new: 3 failed"], ["a note"]
    out = io.StringIO()
    Console(file=out, width=180).print(table([held, bad, Row("first apply", Bar.NONE, ready_s=70)]))
    lines = out.getvalue().splitlines()
    (first,) = [line for line in lines if "scale up" in line]
    assert "0 + 0" in first
    assert "held" in first
    (second,) = [line for line in lines if "upgrade [x]" in line]
    assert "0 + 3" in second
    assert "3.8" in second
    assert "MISSED hit/new: 3 failed" in second


def test_the_json_says_whether_every_bar_held() -> None:
    good = Row("scale up", Bar.NOTHING_FAILS, "2026-01-01T00:00:00+00:00", 30.123, 12.34, streams=streams())
    about = {"context": "kind", "complete": True}
    whole = json.loads(json.dumps(to_json([good], about)))
    assert whole["held"] is True
    assert whole["context"] == "kind"
    (step,) = whole["steps"]
    assert step["ready_s"] == 12.3
    assert step["streams"]["hit/kept"] == {
        "requests": 11,
        "answered": 10,
        "limited": 1,
        "failed": {"reset": 0},
        "p50_ms": 5,
        "p99_ms": 5,
        "max_ms": 5,
    }
    good.missed.append("something")
    assert to_json([good], about)["held"] is False


def test_only_chooses_steps_by_a_regular_expression_in_their_order() -> None:
    assert [step.name for step in choose("")] == [step.name for step in STEPS]
    assert [step.name for step in choose("delete|^scale")] == ["scale up", "scale down", "delete"]
    assert [step.name for step in choose("Broken Image")] == ["broken image", "way back from the broken image"]


def test_only_without_a_step_names_the_steps() -> None:
    with pytest.raises(ValueError, match="finds no step; there are: contract, steady load"):
        choose("typo")
    with pytest.raises(ValueError, match="no regular expression"):
        choose("(")


def test_every_step_that_breaks_the_service_is_followed_by_its_way_back() -> None:
    names = [step.name for step in STEPS]
    for name in ("broken image", "broken model"):
        assert names[names.index(name) + 1] == f"way back from the {name}"
        assert f"way back from the {name}" in [step.name for step in choose(name)]
