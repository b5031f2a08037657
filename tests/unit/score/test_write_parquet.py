"""How parts are merged to one Parquet file."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serve_app.score import write_parquet
from serve_app.score.errors import ScoreError
from serve_app.score.write_parquet import merge
from tests.support.score_runs import score


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("name", ["__filename", "__fragment_index"])
def test_a_column_may_have_any_name(name: str, ending: str, tmp_path: Path) -> None:
    table = pa.table({name: ["x", "y"], "text": ["good", "bad"]})
    if ending == ".parquet":
        pq.write_table(table, tmp_path / "in.parquet")
    else:
        (tmp_path / "in.csv").write_text(f"{name},text\nx,good\ny,bad\n")
    score(tmp_path / f"in{ending}", tmp_path / "out.parquet")
    assert pq.ParquetFile(tmp_path / "out.parquet").read()[name].to_pylist() == ["x", "y"]


@pytest.mark.parametrize(("group_rows", "group_bytes"), [(100, 1 << 30), (1 << 30, 750)])
def test_a_row_group_ends_at_the_first_limit(group_rows: int, group_bytes: int) -> None:
    table = pa.table({"text": ["good"] * 10})
    part, merged = io.BytesIO(), io.BytesIO()
    pq.write_table(table, part)
    merge(iter([part.getvalue()] * 50), merged, table.schema, group_rows, group_bytes)
    groups = pq.ParquetFile(merged).metadata
    assert {groups.row_group(number).num_rows for number in range(groups.num_row_groups)} == {100}


def test_each_part_is_measured_once_when_parts_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = pa.schema([("text", pa.string())])
    table = pa.table({"text": ["good"] * 10}, schema)
    measured = 0

    class Table:
        """Counts how often the size is asked for."""

        num_rows = 10

        @property
        def nbytes(self) -> int:
            nonlocal measured
            measured += 1
            return 100

    class File:
        def __init__(self, _: object) -> None: ...

        def read(self, **_: object) -> File:
            return self

        def cast(self, _: object) -> Table:
            return Table()

    monkeypatch.setattr(pq, "ParquetFile", File)
    monkeypatch.setattr(pq, "read_table", lambda *_, **__: Table())
    monkeypatch.setattr(pa, "concat_tables", lambda _: table)
    merge(iter([b""] * 50), io.BytesIO(), schema, group_rows=1000)
    assert measured == 50


@pytest.mark.parametrize("step", ["to_parquet", "merge"])
def test_an_error_of_pyarrow_is_one_line_without_its_words(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise pa.ArrowInvalid("could not convert my secret diagnosis")

    monkeypatch.setattr(write_parquet, step, fail)
    pq.write_table(pa.table({"text": ["good"]}), tmp_path / "in.parquet")
    output = tmp_path / "out.parquet"
    with pytest.raises(ScoreError) as refused:
        score(tmp_path / "in.parquet", output)
    assert str(refused.value) == f"{output}: pyarrow cannot write a value (ArrowInvalid); choose another format"
    assert not output.exists()
