"""Types that Parquet files have and a reader may change or fail on: dictionaries, INT96, names."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serve_app.score.errors import ScoreError
from serve_app.score.source import open_source
from tests.support.score_runs import score

NARROW = pa.dictionary(pa.int8(), pa.string())
TENSOR = pa.fixed_shape_tensor(pa.float32(), [1])


def narrow(values: list[str]) -> Any:
    return pa.array(values).dictionary_encode().cast(NARROW)


def in_list(values: list[str]) -> Any:
    return pa.ListArray.from_arrays(list(range(len(values) + 1)), narrow(values))


def in_struct(values: list[str]) -> Any:
    return pa.StructArray.from_arrays([narrow(values)], names=["d"])


def in_map(values: list[str]) -> Any:
    return pa.MapArray.from_arrays(list(range(len(values) + 1)), pa.array(["k"] * len(values)), narrow(values))


def deep(values: list[str]) -> Any:
    return pa.FixedSizeListArray.from_arrays(in_struct(values), 1)


def names(file: int, group: int) -> list[str]:
    return [f"{file}-{group}-{number}" for number in range(100)]


def write(path: Path, file: int, groups: int, make: Callable[[list[str]], Any]) -> list[Any]:
    """A file whose row groups have 100 other categories each; returns the values."""
    path.parent.mkdir(exist_ok=True)
    schema = pa.schema([("text", pa.string()), ("m", make(names(0, 0)).type)])
    with pq.ParquetWriter(path, schema) as writer:
        for group in range(groups):
            values = names(file, group)
            writer.write_table(pa.table([pa.array(values), make(values)], schema=schema))
    return [value for group in range(groups) for value in make(names(file, group)).to_pylist()]


@pytest.mark.parametrize(("files", "groups"), [(1, 1), (1, 3), (2, 1), (2, 2)])
@pytest.mark.parametrize("make", [narrow, in_list, in_struct, in_map, deep])
def test_every_row_group_may_have_a_narrow_dictionary_of_its_own(
    make: Callable[[list[str]], Any], files: int, groups: int, tmp_path: Path
) -> None:
    values = [
        value for file in range(files) for value in write(tmp_path / "in" / f"{file}.parquet", file, groups, make)
    ]
    assert score(tmp_path / "in", tmp_path / "out.parquet").rows == len(values)
    assert pq.ParquetFile(tmp_path / "out.parquet").read()["m"].to_pylist() == values
    score(tmp_path / "in", tmp_path / "out.jsonl")
    written = [json.loads(line)["m"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert written == json.loads(json.dumps(values))


def test_files_may_differ_in_the_width_of_a_dictionarys_index(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.parquet", 0, 1, narrow)
    write(tmp_path / "in" / "b.parquet", 1, 1, lambda values: pa.array(values).dictionary_encode())
    assert score(tmp_path / "in", tmp_path / "out.parquet").rows == 200


def test_a_dictionary_in_a_list_is_in_no_part(tmp_path: Path) -> None:
    users = [f"user {number:06d} with a long name" for number in range(3000)]
    lists = pa.ListArray.from_arrays(list(range(len(users) + 1)), pa.array(users).dictionary_encode())
    for name, column in (("in", lists), ("plain", pa.array([[user] for user in users]))):
        pq.write_table(pa.table({"text": users, "user": column}), tmp_path / f"{name}.parquet")
    parts, plain = (
        list(open_source(str(tmp_path / f"{name}.parquet"), "text", ("A", "B"), 1000).parts())
        for name in ("in", "plain")
    )
    assert len(parts) == len(plain)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_time_of_spark_is_kept_in_any_year(ending: str, tmp_path: Path) -> None:
    until = [datetime.datetime(9999, 12, 31), datetime.datetime(1, 1, 1), datetime.datetime(2024, 1, 1, 1, 1, 1, 5)]  # noqa: DTZ001
    table = pa.table({"text": ["a", "b", "c"], "until": pa.array(until, pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "in.parquet", use_deprecated_int96_timestamps=True, store_schema=False)
    output = tmp_path / f"out.{ending}"
    score(tmp_path / "in.parquet", output)
    if ending == "parquet":
        assert pq.read_table(output)["until"].to_pylist() == until
    else:
        lines = output.read_text().replace("T", " ").splitlines()[-3:]
        assert all(str(time) in line for time, line in zip(until, lines, strict=True))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_name_that_is_not_utf8_is_refused_in_one_line(ending: str, tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["a"], "cafXX": [1]}), file, store_schema=False)
    file.write_bytes(file.read_bytes().replace(b"cafXX", b"caf\xe9_"))
    with pytest.raises(ScoreError, match=r"in\.parquet: the name of a column is not UTF-8; rename it$"):
        score(file, tmp_path / f"out.{ending}")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([0.1], pa.float32()), "0.1"),
        (pa.array([0.1], pa.float16()), "0.1"),
        (pa.array([1e-8], pa.float32()), "1e-08"),
        (pa.array([123456792.0], pa.float64()).cast(pa.float32()), "123456792.0"),
        (pa.array([65504], pa.float16()), "65504.0"),
        (pa.array([-0.0], pa.float32()), "-0.0"),
        (pa.array([0.1]), "0.1"),
        (pa.array([[0.1, None, 0.2]], pa.list_(pa.float32())), "[0.1,null,0.2]"),
        (
            pa.array([{"a": [0.1], "b": 0.1}], pa.struct([("a", pa.list_(pa.float32())), ("b", pa.float64())])),
            {"a": [0.1], "b": 0.1},
        ),
        (pa.array([[("k", 0.1)]], pa.map_(pa.string(), pa.float32())), '[["k",0.1]]'),
        (pa.array([0.1], pa.float32()).dictionary_encode(), "0.1"),
        (pa.ExtensionArray.from_storage(TENSOR, pa.array([[0.1]], TENSOR.storage_type)), "[0.1]"),
    ],
)
def test_a_narrow_float_gains_no_digits(column: Any, text: Any, ending: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["good"], "m": column}), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / f"out.{ending}")
    written = (tmp_path / f"out.{ending}").read_text()
    expected = text if isinstance(text, str) else json.dumps(text, separators=(",", ":"))
    if ending == "jsonl":
        assert f'"m":{expected},"label"'.replace("e-08", "e-8") in written
    else:
        (row,) = csv.DictReader(io.StringIO(written))
        assert row["m"] == expected


@pytest.mark.parametrize(
    ("zone", "unit", "text"),
    [
        ("Africa/Monrovia", "us", "1929-12-31T23:15:30-00:44:30"),
        ("Africa/Monrovia", "ns", "1929-12-31T23:15:30-00:44:30"),
        ("Europe/Paris", "us", "1930-01-01T00:00:00+00:00"),
        (None, "us", "1930-01-01T00:00:00"),
    ],
)
def test_a_time_zone_of_json_keeps_its_seconds(zone: str | None, unit: str, text: str, tmp_path: Path) -> None:
    time = datetime.datetime(1930, 1, 1, tzinfo=datetime.UTC if zone else None)
    pq.write_table(pa.table({"text": ["a"], "t": pa.array([time], pa.timestamp(unit, zone))}), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text())["t"] == text
