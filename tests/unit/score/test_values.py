"""Values that the output's format, or Python, does not have: each row is written, and what is in it is kept."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serve_app.score.errors import ScoreError
from serve_app.score.source import open_source
from serve_app.score.values import of_scalar
from tests.support.score_runs import Dies, score

NOT_UTF8 = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(bytes(4) + b"\3\0\0\0"), pa.py_buffer(b"\xffab")])

OPAQUE = pa.opaque(pa.timestamp("ns"), "time", "vendor")


def scored(data: str, output: Path) -> list[dict[str, Any]]:
    """The rows of CSV or Parquet that JSON lines become."""
    file = output.with_name("in.jsonl")
    file.write_text(data)
    score(file, output)
    if output.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(output).to_pylist()
        return rows
    return list(csv.DictReader(io.StringIO(output.read_bytes().decode(), newline="")))


@pytest.mark.parametrize("text", ["go\rod", "go\r\nod", "\r", "go\nod", 'go"od'])
def test_a_line_ending_in_a_field_is_quoted(text: str, tmp_path: Path) -> None:
    (row,) = scored(json.dumps({"id": 1, "text": text}) + "\n", tmp_path / "out.csv")
    assert (row["id"], row["text"], row["error"]) == ("1", text, "")
    assert score(tmp_path / "out.csv", tmp_path / "again.csv").errors == 0


def test_a_row_with_a_carriage_return_outside_quotes_is_quoted_in_the_column_raw(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"id,text\n1,go\rod\n2,bad\n")
    score(tmp_path / "in.csv", tmp_path / "out.csv")
    first, second = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_bytes().decode(), newline=""))
    assert (first["raw"], second["text"]) == ("1,go\rod", "bad")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (r'{"x":"\ud800"}', r'{"x":"\ud800"}'),
        (r'{"\ud800":1}', r'{"\ud800":1}'),
        ("[NaN,123456789012345678901234567890]", "[null,123456789012345678901234567890]"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("-12345678901234567890123", "-12345678901234567890123"),
        ("[" * 300 + "]" * 300, "[" * 300 + "]" * 300),
        ("[" * 1010 + "]" * 1010, "null"),
        ("0.1", "0.1"),
    ],
)
def test_any_json_value_becomes_text(value: str, text: str, ending: str, tmp_path: Path) -> None:
    (row,) = scored(f'{{"text":"a","m":{value}}}\n', tmp_path / f"out.{ending}")
    assert (row["text"], row["m"], row["error"] or None) == ("a", text, None)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_name_with_half_a_surrogate_pair_is_written_with_backslashes(ending: str, tmp_path: Path) -> None:
    (row,) = scored(r'{"text":"a","\ud83d":1}' + "\n", tmp_path / f"out.{ending}")
    assert row[r"\xed\xa0\xbd"] == "1"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("column", "text"),
    [
        (NOT_UTF8, r"\xffab"),
        (pa.StructArray.from_arrays([NOT_UTF8], names=["a"]), {"a": r"\xffab"}),
        (pa.ListArray.from_arrays([0, 1], NOT_UTF8), [r"\xffab"]),
        (NOT_UTF8.dictionary_encode(), r"\xffab"),
        (pa.array([10**7], pa.int32()).cast(pa.date32()), "29349-01-26"),
        (pa.array([10**18], pa.int64()).cast(pa.timestamp("us")), "<value out of range: 1000000000000000000>"),
        (pa.array([10**12], pa.int64()).cast(pa.timestamp("ms", tz="Mars/Phobos")), "2001-09-09 01:46:40.000Z"),
        (pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), {"a": 1, "a_1": 2}),
        (pa.array([None], pa.date32()), None),
        (pa.array([1_000_001_001], pa.time64("ns")), "00:00:01.000001001"),
        (pa.array([1_000_001_000], pa.time64("ns")), "00:00:01.000001"),
        (pa.array([None], pa.time64("ns")), None),
        (pa.array([[1001, None]], pa.list_(pa.time64("ns"))), ["00:00:00.000001001", None]),
        (pa.array([{"a": 1001}], pa.struct([("a", pa.time64("ns"))])), {"a": "00:00:00.000001001"}),
        (pa.array([1001], pa.time64("ns")).dictionary_encode(), "00:00:00.000001001"),
        (pa.array([float("nan")]), "nan"),
        (pa.array([float("-inf")], pa.float32()), "-inf"),
        (pa.array([[1.5, float("inf"), None]]), [1.5, "inf", None]),
        (pa.array([{"a": [float("nan")]}]), {"a": ["nan"]}),
        (pa.array([10**9], pa.duration("ns")), "0:00:01"),
        (pa.array([-1], pa.duration("ns")), "-1 day, 23:59:59.999999999"),
        (pa.array([[1]], pa.list_(pa.duration("ns"))), ["0:00:00.000000001"]),
        (
            pa.ExtensionArray.from_storage(OPAQUE, pa.array([1001], OPAQUE.storage_type)),
            "1970-01-01 00:00:00.000001001",
        ),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.duration("ns"))), [["k", "0:00:00.000000001"]]),
    ],
)
def test_a_value_that_python_lacks_becomes_text(column: Any, text: object, ending: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["good"], "m": column}), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / f"out.{ending}")
    written = (tmp_path / f"out.{ending}").read_text()
    if ending == "jsonl":
        assert json.loads(written)["m"] == text
    else:
        (row,) = csv.DictReader(io.StringIO(written))
        assert (json.loads(row["m"]) if isinstance(text, dict | list) else row["m"] or None) == text


def test_a_text_that_is_not_utf8_is_a_row_with_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": NOT_UTF8}), tmp_path / "in.parquet")
    assert score(tmp_path / "in.parquet", tmp_path / "out.csv").errors == 1


def test_nanoseconds_are_the_same_with_and_without_pandas() -> None:
    code = """
import sys
class NoPandas:
    def find_spec(name, *_):
        if name == "pandas":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoPandas)
import pyarrow as pa
from serve_app.score.values import of_scalar
for kind in (pa.timestamp("ns"), pa.timestamp("ns", "America/New_York"), pa.duration("ns")):
    values = pa.array([1700000000123456789, 10**9, 0], pa.int64()).cast(kind)
    for array in (values, pa.ListArray.from_arrays([0, 3], values), values.dictionary_encode()):
        print([of_scalar(each) for each in array])
"""
    outputs = [
        subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout
        for lines in (code, code.replace("raise ", ""))
    ]
    assert outputs[0] == outputs[1]
    assert "2023-11-14 22:13:20.123456789" in outputs[0]
    assert "19675 days, 22:13:20.123456789" in outputs[0]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    "digits", ["1.10", "12345678901234567890.5", "-0.0", "-0", "1E5", "1e400", "0.1234567890123456789"]
)
def test_a_number_of_json_keeps_its_digits(digits: str, ending: str, tmp_path: Path) -> None:
    (row,) = scored(f'{{"text":"a","m": {digits},"n":[1.5,{{"o":2.50}}]}}\n', tmp_path / f"out.{ending}")
    assert (row["m"], row["n"]) == (digits, '[1.5,{"o":2.5}]')


def test_names_that_are_one_as_text_are_refused_where_they_must_differ(tmp_path: Path) -> None:
    data = r'{"text":"a","\ud800":1,"\\xed\\xa0\\x80":2}' + "\n"
    with pytest.raises(ScoreError, match="which parquet cannot hold"):
        scored(data, tmp_path / "out.parquet")
    scored(data, tmp_path / "out.csv")
    score(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text().startswith(data[:-2])


def test_what_python_has_stays_as_it_is() -> None:
    assert of_scalar(pa.array([[1, None]])[0]) == [1, None]


def test_a_dictionary_of_the_whole_file_is_in_no_part(tmp_path: Path) -> None:
    users = pa.array([f"user {number:06d} with a long name" for number in range(3000)])
    narrow, kind = pa.dictionary(pa.int16(), pa.string()), pa.dictionary(pa.int32(), pa.string())
    table = pa.table({"text": users, "user": users.dictionary_encode().cast(narrow), "plain": users})
    pq.write_table(table, tmp_path / "in.parquet")
    pq.write_table(table.set_column(1, "user", users), tmp_path / "plain.parquet")
    with_dictionary, without = (
        list(open_source(str(tmp_path / name), "text", ("A", "B"), 1000).parts())
        for name in ("in.parquet", "plain.parquet")
    )
    assert len(with_dictionary) == len(without)
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path / "in.parquet", tmp_path / "out.parquet", pool=Dies(2))
    assert sum(file.stat().st_size for file in (tmp_path / "out.parquet.parts").iterdir()) < 60_000
    assert score(tmp_path / "in.parquet", tmp_path / "out.parquet").rows == 3000
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.schema.field("user").type == kind
    assert out["user"].to_pylist() == users.to_pylist()


@pytest.mark.parametrize("ordered", [True, False])
def test_categories_keep_their_order(ordered: bool, tmp_path: Path) -> None:  # noqa: FBT001
    kind = pa.dictionary(pa.int32(), pa.string(), ordered)
    sizes = pa.DictionaryArray.from_arrays(pa.array([2, 0, None], pa.int8()), ["low", "mid", "high"], ordered=ordered)
    pq.write_table(pa.table({"text": ["a", "b", "c"], "size": sizes}), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "out.parquet")
    size = pq.read_table(tmp_path / "out.parquet")["size"]
    assert (size.type, size.to_pylist()) == (kind, ["high", "low", None])
    assert size.chunk(0).dictionary.to_pylist() == ["low", "mid", "high"]


def test_columns_of_the_same_name_are_kept_in_csv_and_refused_elsewhere_before_any_work(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["good"]), pa.array([1]), pa.array([2])], ["text", "x", "x"])
    pq.write_table(table, tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("good,1,2,")
    for ending in ("parquet", "jsonl"):
        with pytest.raises(ScoreError, match=f"two columns are called x, which {ending} cannot hold"):
            score(tmp_path / "in.parquet", tmp_path / f"out.{ending}")
        assert not (tmp_path / f"out.{ending}.parts").exists()
