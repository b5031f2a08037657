"""Parts, their manifest, and continued runs."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import orjson
import pytest

from serve_app.score.computed import Computed
from serve_app.score.errors import ScoreError
from serve_app.score.source import PART_ROWS
from tests.support.score_runs import Dies, LengthPool, score

ROWS = 5 * PART_ROWS + 7


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An input in which one row in three repeats a text."""
    rng = random.Random(1)
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows([number, f"text {rng.randrange(ROWS)}"] for number in range(ROWS))
    return tmp_path / "in.csv"


def test_a_stopped_run_continues_and_writes_the_same_bytes(source: Path, tmp_path: Path) -> None:
    score(source, tmp_path / "whole.csv")
    for at in (1, 3, 4):
        with pytest.raises(KeyboardInterrupt):
            score(source, tmp_path / "out.csv", pool=Dies(at))
    pool = LengthPool()
    progress = score(source, tmp_path / "out.csv", pool=pool)
    assert (progress.rows, progress.kept_rows) == (ROWS, 4 * PART_ROWS)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not (tmp_path / "out.csv.parts").exists()
    assert 0 < len(pool.submitted) <= ROWS - 4 * PART_ROWS


def test_a_missing_part_is_computed_again_from_the_same_texts(source: Path, tmp_path: Path) -> None:
    whole = LengthPool()
    score(source, tmp_path / "whole.csv", pool=whole)
    with pytest.raises(KeyboardInterrupt):
        score(source, tmp_path / "out.csv", pool=Dies(4))
    (lost,) = (tmp_path / "out.csv.parts").glob("00000002-*.part")
    lost.unlink()
    pool = LengthPool()
    score(source, tmp_path / "out.csv", pool=pool)
    assert set(pool.submitted) <= set(whole.submitted)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("spoil", [None, b"", b"\0" * 10])
def test_a_part_without_valid_scores_is_computed_again(source: Path, tmp_path: Path, spoil: bytes | None) -> None:
    score(source, tmp_path / "whole.csv")
    with pytest.raises(KeyboardInterrupt):
        score(source, tmp_path / "out.csv", pool=Dies(4))
    beside = tmp_path / "out.csv.parts" / "00000001.scores"
    beside.unlink()
    if spoil is not None:
        beside.write_bytes(spoil)
    score(source, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_repeated_text_is_computed_once_across_parts(source: Path, tmp_path: Path) -> None:
    pool = LengthPool()
    score(source, tmp_path / "out.csv", pool=pool)
    assert len(pool.submitted) == len(set(pool.submitted)) < ROWS


def test_unfinished_files_do_not_count(source: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(source, tmp_path / "out.csv", pool=Dies(2))
    parts = tmp_path / "out.csv.parts"
    (parts / f"00000002-{2 * PART_ROWS}-{PART_ROWS}-0-0.part.half").write_bytes(b"half a line")
    assert score(source, tmp_path / "out.csv").kept_rows == 2 * PART_ROWS


def test_other_inputs_are_refused_and_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(source, tmp_path / "out.csv", pool=Dies(2))
    with pytest.raises(ScoreError, match=r"another value of: the column; restore it, or remove .*out\.csv\.parts"):
        score(source, tmp_path / "out.csv", column="id")
    monkeypatch.setenv("SENTIMENT_MAX_TOKENS", "16")
    with pytest.raises(ScoreError, match="another value of: the model"):
        score(source, tmp_path / "out.csv")
    monkeypatch.delenv("SENTIMENT_MAX_TOKENS")
    with source.open("a") as file:
        file.write("one,more\n")
    with pytest.raises(ScoreError, match="the input, which has changed"):
        score(source, tmp_path / "out.csv")


def test_the_manifest_is_written_before_any_part(source: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(source, tmp_path / "out.csv", pool=Dies(0))
    parts = tmp_path / "out.csv.parts"
    assert orjson.loads((parts / "manifest.json").read_bytes())["column"] == "text"
    assert not list(parts.glob("*.part"))


def test_an_existing_output_is_refused_and_unchanged(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(ScoreError, match="exists; remove it"):
        score(source, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert not (tmp_path / "out.csv.parts").exists()


def test_a_folder_without_a_manifest_is_refused_and_unchanged(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv.parts").mkdir()
    (tmp_path / "out.csv.parts" / "mine").write_text("mine")
    with pytest.raises(ScoreError, match="files but no manifest"):
        score(source, tmp_path / "out.csv")
    assert (tmp_path / "out.csv.parts" / "mine").read_text() == "mine"


def test_a_second_run_at_the_same_time_is_refused(source: Path, tmp_path: Path) -> None:
    class Meets(LengthPool):
        def result(self, number: int) -> Computed:
            with pytest.raises(ScoreError, match="another run uses it"):
                score(source, tmp_path / "out.csv")
            return super().result(number)

    assert score(source, tmp_path / "out.csv", pool=Meets()).rows == ROWS
