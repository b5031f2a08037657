"""A worker computes the service's scores, the same in every worker and call."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.directory import open_directory
from serve_app.identity import identify
from serve_app.score.computed import Computed, load
from serve_app.score.memory import Memory, fill
from serve_app.score.rows import Part, Row
from serve_app.score.worker import Worker, calls
from serve_app.settings import Settings
from tests.support.sentences import ALL


@pytest.fixture(scope="module")
def worker() -> Worker:
    settings = Settings(precision="fp32")
    made = Worker(settings, identify(open_directory(settings.model_dir), settings.precision, settings.max_tokens), 1)
    assert made.load() == ""
    return made


def test_the_same_texts_have_the_same_scores_each_time(worker: Worker) -> None:
    assert worker.score(ALL) == worker.score(ALL)


def test_long_texts_are_marked_as_truncated(worker: Worker) -> None:
    assert worker.score(["good", "good " * 600]).truncated == [False, True]


def test_a_worker_with_another_model_reports_it(worker: Worker, tmp_path: Path) -> None:
    settings = Settings(precision="fp32")
    other = identify(open_directory(settings.model_dir), settings.precision, 16)
    assert "is another model than on" in Worker(settings, other, 1).load()
    gone = settings.model_copy(update={"model_dir": tmp_path})
    assert str(tmp_path) in Worker(gone, worker._identity, 1).load()


def test_calls_hold_every_sequence_once_and_in_order() -> None:
    sequences = [[number] * length for number, length in enumerate((5, 3, 8, 2, 20, 1, 1))]
    grouped = [list(each) for each in calls(sequences, 8)]
    assert [ids for group in grouped for ids in group] == sequences
    assert [sum(map(len, group)) for group in grouped] == [8, 8, 2, 20, 2]
    assert list(calls([])) == []


def test_scores_are_stored_to_the_last_bit() -> None:
    computed = Computed([(0.1, 0.9), (1 / 3, 2 / 3)], [True, False])
    assert load(computed.dump(), 2, 2) == computed
    assert load(computed.dump(), 3, 2) is None
    assert load(b"", 2, 2) is None


def part(number: int, *texts: str | None) -> Part:
    rows = [Row([text], text, 1, "" if text else "the text is null") for text in texts]
    return Part(number, 0, 0, "csv", ("text",), rows)


def test_new_texts_depend_on_earlier_texts_and_memory_is_bounded() -> None:
    memory = Memory(2)
    first = memory.plan(part(0, "a", "b", "a", None))
    assert (first.texts, first.answers[3]) == (["a", "b"], None)
    fill(first.new, [(1.0,), (0.5,)], [False, True])
    second = memory.plan(part(1, "b", "c", "b", "a"))
    assert second.texts == ["c", "a"]
    assert second.answers[0] is first.answers[1]
    assert second.answers[0] is not None
    assert (second.answers[0].scores, second.answers[0].truncated) == ((0.5,), True)
