"""An input that changes during the run, and columns of JSON lines that come late."""

from __future__ import annotations

import bz2
import csv
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serve_app.score.computed import Computed
from serve_app.score.errors import ScoreError
from serve_app.score.read_parquet import read_rows
from serve_app.score.source import PART_ROWS, open_source
from serve_app.score.streams import Counter
from tests.support.score_runs import LengthPool, score


class Changes(LengthPool):
    """Calls `change` once, before the first result."""

    def __init__(self, change: Callable[[], object]) -> None:
        super().__init__()
        self._changes = [change]

    def result(self, number: int) -> Computed:
        while self._changes:
            self._changes.pop()()
        return super().result(number)


def write(file: Path, columns: Sequence[str], rows: int, text: str) -> None:
    """Rows with the same value in every column but for the column's name."""
    lines = [columns, *([f"{text} {name} {row}" for name in columns] for row in range(rows))]
    if file.suffix == ".parquet":
        pq.write_table(pa.table({name: [line[at] for line in lines[1:]] for at, name in enumerate(columns)}), file)
    else:
        file.write_text("".join(",".join(line) + "\n" for line in lines))


@pytest.mark.parametrize("place", ["in", "file"])
@pytest.mark.parametrize("touched", [True, False])
def test_a_file_that_changes_while_it_is_read_is_refused(place: str, touched: bool, tmp_path: Path) -> None:  # noqa: FBT001
    file = tmp_path / "in" / "a.csv"
    file.parent.mkdir()
    write(file, ["text"], 5 * PART_ROWS, "good")

    def change() -> None:
        if touched:
            os.utime(file, ns=(1, 1))
        else:
            before = file.stat()
            with file.open("a") as more:
                more.write("bad\n")
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    output = tmp_path / "out.csv"
    with pytest.raises(ScoreError) as refused:
        score(file.parent if place == "in" else file, output, pool=Changes(change))
    line = f"{file}: it changed while it was read; remove {output}.parts and start again"
    assert str(refused.value) == line
    assert not output.exists()


def test_a_file_of_a_url_that_changes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.csv"
    write(file, ["text"], 5, "good")
    monkeypatch.setattr("serve_app.score.places.is_url", lambda place: place.startswith("file://"))
    source = open_source(f"file://{file}", "text", [], 1000, "out.csv")
    assert len(list(source.parts())) == 1
    write(file, ["text"], 6, "good")
    with pytest.raises(ScoreError, match=r"it changed while it was read; remove out\.csv\.parts and start again"):
        list(source.parts())


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_that_change_places_are_never_scored(ending: str, tmp_path: Path) -> None:
    folder, second = tmp_path / "in", tmp_path / "in" / f"b.{ending}"
    folder.mkdir()
    write(folder / f"a.{ending}", ["text", "note"], 8 * PART_ROWS, "good")
    write(second, ["text", "note"], 10, "late")

    def change() -> None:
        write(second, ["note", "text"], 10, "late")

    pool = Changes(change)
    with pytest.raises(ScoreError, match="it changed while it was read"):
        score(folder, tmp_path / "out.csv", pool=pool)
    assert not any(text.startswith("late") for text in pool.submitted)


@pytest.mark.parametrize("rows", [1, 10])
def test_a_text_column_behind_the_first_json_lines_is_scored(rows: int, tmp_path: Path) -> None:
    early = [json.dumps({"id": "x" * (5 << 20 if rows == 1 else 1)})] * (2048 if rows == 10 else 1)
    late = [json.dumps({"id": number, "text": "good"}) for number in range(rows)]
    (tmp_path / "in.jsonl").write_text("\n".join([*early, *late]) + "\n")
    progress = score(tmp_path / "in.jsonl", tmp_path / "out.csv")
    assert (progress.rows, progress.errors) == (len(early) + rows, len(early))
    csv.field_size_limit(16 << 20)
    *_, last = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert (last["text"], last["error"], last["raw"]) == ("good", "", "")


@pytest.mark.parametrize(
    "line",
    [
        '{"review": "a text"}',
        '{"review": "text", "m": {"text": 1}}',
        '["text"]',
        '{"text": "go',
        '{"review": "\\u0074ext"}',
        '{"text": "' + "a" * (16 << 20) + '"}',
    ],
)
def test_a_word_in_a_late_json_line_is_no_text_column(line: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"review": "fine"}\n' * 2048 + line + "\n")
    with pytest.raises(ScoreError, match="has no column text, only review"):
        score(tmp_path / "in.jsonl", tmp_path / "out.csv")


@pytest.mark.parametrize("name", ["text", "\\u0074ext", "t\\u0065\\u0078t"])
def test_a_late_text_column_is_found_however_its_name_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"review": "fine"}\n' * 2048 + f'{{"{name}": "good"}}\n')
    assert score(tmp_path / "in.jsonl", tmp_path / "out.csv").errors == 2048


@pytest.mark.parametrize("rows", [1, 2048, 5000])
def test_json_lines_of_which_none_has_the_text_are_refused(rows: int, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": 1}\n' * rows)
    with pytest.raises(ScoreError, match="has no column text, only id"):
        score(tmp_path / "in.jsonl", tmp_path / "out.csv")


def test_progress_in_parquet_follows_its_rows(tmp_path: Path) -> None:
    write(tmp_path / "in.parquet", ["text"], 4096, "good" * 100)
    source = open_source(str(tmp_path / "in.parquet"), "text", [], 1000)
    counter = Counter()
    rows = read_rows(source.files[0], "text", 1000, counter)
    for _ in range(1024):
        next(rows)
    assert counter.count == source.size // 4
    assert len(list(rows)) == 3072
    assert counter.count == source.size


def test_a_header_that_begins_like_bzip2_is_read(tmp_path: Path) -> None:
    assert bz2.compress(b"text").startswith(b"BZh")
    (tmp_path / "in.csv").write_text("BZh,text\n1,good\n")
    assert score(tmp_path / "in.csv", tmp_path / "out.csv").errors == 0


def test_a_column_without_a_name_is_shown(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(",id\ngood,1\n")
    with pytest.raises(ScoreError, match='has no column text, only "", id; choose one'):
        score(tmp_path / "in.csv", tmp_path / "out.csv")


@pytest.mark.parametrize("order", ["be", "le"])
@pytest.mark.parametrize("bits", [16, 32])
def test_the_encoding_that_a_mark_names_is_said(bits: int, order: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes("\ufeff{}".encode(f"utf-{bits}-{order}"))
    with pytest.raises(ScoreError, match=rf"it is in UTF-{bits}; convert it: iconv -f UTF-{bits} -t UTF-8$"):
        score(tmp_path / "in.jsonl", tmp_path / "out.csv")
