"""Batches of bounded size, and files whose columns differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serve_app.score.errors import ScoreError
from serve_app.score.places import input_files
from serve_app.score.read_parquet import BATCH_BYTES, BATCH_ROWS, read_rows
from serve_app.score.streams import Counter
from tests.support.score_runs import score


@pytest.mark.parametrize(("width", "rows"), [(10, 20), (1 << 20, 7), (BATCH_BYTES, 1)])
def test_a_batch_has_few_rows_if_those_of_its_row_group_are_wide(width: int, rows: int, tmp_path: Path) -> None:
    table = pa.table({"text": ["good"] * 300, "image": pa.array([b"x" * 9] * 300)})
    wide = pa.table({"text": ["bad"] * 20, "image": pa.array([b"x" * width] * 20)})
    with pq.ParquetWriter(tmp_path / "in.parquet", table.schema, use_dictionary=False) as writer:
        writer.write_table(table)
        writer.write_table(wide)
        writer.write_table(table)
    (file,) = input_files(str(tmp_path / "in.parquet"))
    found = list(read_rows(file, "text", 1000, Counter()))
    assert len(found) == 620
    assert max(row.values.batch.num_rows for row in found[300:320]) == rows
    assert {row.values.batch.num_rows for row in found[:300]} == {BATCH_ROWS, 300 % BATCH_ROWS}


@pytest.mark.parametrize("in_list", [True, False])
def test_a_value_that_the_file_has_once_takes_memory_for_few_rows(in_list: bool, tmp_path: Path) -> None:  # noqa: FBT001
    values: Any = pa.DictionaryArray.from_arrays(pa.array([0] * 256, pa.int32()), pa.array(["y" * (1 << 20)]))
    if in_list:
        values = pa.ListArray.from_arrays(list(range(257)), values)
    table = pa.table({"text": [f"text {number}" for number in range(256)], "page": values})
    pq.write_table(table, tmp_path / "in.parquet")
    (file,) = input_files(str(tmp_path / "in.parquet"))
    first = next(iter(read_rows(file, "text", 1000, Counter())))
    assert first.values.batch.nbytes < 64 << 20


def test_a_file_without_row_groups_has_no_rows(tmp_path: Path) -> None:
    with pq.ParquetWriter(tmp_path / "in.parquet", pa.schema([("text", pa.string())])):
        pass
    (file,) = input_files(str(tmp_path / "in.parquet"))
    assert not list(read_rows(file, "text", 1000, Counter()))


def write(file: Path, kind: Any = None, *, nullable: bool = True) -> None:
    file.parent.mkdir(exist_ok=True)
    kind = kind or pa.string()
    pq.write_table(pa.table({"text": pa.array(["good"], kind)}, pa.schema([pa.field("text", kind, nullable)])), file)


@pytest.mark.parametrize("nullable", [(True, False), (False, True), (False, False)])
def test_files_may_differ_in_whether_a_value_may_be_null(nullable: tuple[bool, bool], tmp_path: Path) -> None:
    for name, may in zip("ab", nullable, strict=True):
        write(tmp_path / "in" / f"{name}.parquet", nullable=may)
    assert score(tmp_path / "in", tmp_path / "out.parquet").rows == 2
    assert pq.read_schema(tmp_path / "out.parquet").field("text").nullable is any(nullable)
    assert score(tmp_path / "in", tmp_path / "out.csv").rows == 2


def test_a_column_of_different_types_is_named(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.parquet")
    write(tmp_path / "in" / "b.parquet", pa.large_string())
    with pytest.raises(ScoreError) as refused:
        score(tmp_path / "in", tmp_path / "out.csv")
    assert str(refused.value) == (
        f"{tmp_path}/in/b.parquet: the column text is large_string, and in {tmp_path}/in/a.parquet string; cast one of"
        " them, or score the files one by one"
    )
