"""Reading and writing every format, compressed or not, from one file or several."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serve_app.score.errors import ScoreError
from serve_app.score.formats import KINDS
from serve_app.score.lines import MAX_LINE_BYTES
from serve_app.score.source import PART_ROWS, open_source
from tests.support.score_runs import LengthPool, score

TEXTS = ["good", "rather bad", 'a "quoted" one, with a comma', "two\nlines", "naïve 😀", ""]
ENDINGS = [
    *(ending for ending in KINDS if ending != ".parquet"),
    ".parquet", ".csv.gz", ".csv.zst", ".jsonl.gz", ".jsonl.zst", ".tsv.gz",
]  # fmt: skip


def write(file: Path, texts: list[str]) -> Path:
    ids = [str(number) for number in range(len(texts))]
    kind = KINDS[file.with_suffix("").suffix if file.suffix in (".gz", ".zst") else file.suffix]
    if kind == "parquet":
        pq.write_table(pa.table({"id": ids, "text": texts}), file)
        return file
    out = io.StringIO(newline="")
    if kind == "jsonl":
        out.writelines(json.dumps({"id": number, "text": text}) + "\n" for number, text in zip(ids, texts, strict=True))
    else:
        writer = csv.writer(out, delimiter="\t" if kind == "tsv" else ",")
        writer.writerows([("id", "text"), *zip(ids, texts, strict=True)])
    file.write_bytes(compressed(out.getvalue().encode(), file.suffix))
    return file


def compressed(data: bytes, ending: str) -> bytes:
    if ending == ".gz":
        half = len(data) // 2
        return gzip.compress(data[:half]) + gzip.compress(data[half:])  # as parallel tools and appending write it
    return pa.compress(data, codec="zstd", asbytes=True) if ending == ".zst" else data


def read(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
        return rows
    data = file.read_bytes()
    if file.suffix == ".gz":
        data = gzip.decompress(data)
    if file.suffix == ".zst":
        data = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    if "json" in file.name:
        return [json.loads(line) for line in data.splitlines()]
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter="\t" if ".tsv" in file.name else ","))


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_is_read_and_written(ending: str, tmp_path: Path) -> None:
    texts = [f"{text} {number}" for number in range(PART_ROWS // 2) for text in TEXTS]
    source = write(tmp_path / f"in{ending}", texts)
    for target in (".csv", ".jsonl", ".parquet", ending):
        output = tmp_path / f"out{target}"
        assert score(source, output).rows == len(texts)
        rows = read(output)
        assert [row["text"] for row in rows] == texts
        assert [row["id"] for row in rows] == [str(number) for number in range(len(texts))]
        assert all(float(row["NEGATIVE"]) + float(row["POSITIVE"]) == pytest.approx(1, abs=2e-6) for row in rows)
        assert all(float(row["score"]) == float(row[row["label"]]) for row in rows)
        output.unlink()


def test_parquet_keeps_its_types_and_a_row_group_has_several_parts(tmp_path: Path) -> None:
    rows = 3 * PART_ROWS + 5
    columns = {
        "when": pa.array([datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)] * rows),
        "price": pa.array([Decimal("1.50")] * rows),
        "tags": pa.array([["a", None]] * rows),
        "meta": pa.array([{"x": 1}] * rows),
        "blob": pa.array([b"\xff\x00"] * rows),
        "category": pa.array(["good", "bad", None][number % 3] for number in range(rows)).dictionary_encode(),
        "text": pa.array([f"text {number}" for number in range(rows)], pa.large_string()),
    }
    table = pa.table(columns).replace_schema_metadata({"made": "by hand"})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=700)
    score(tmp_path / "in.parquet", tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.select(table.column_names).equals(table)
    assert written.schema.metadata[b"made"] == b"by hand"
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 1
    score(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    row = read(tmp_path / "out.jsonl")[0]
    assert (row["price"], row["tags"], row["meta"], row["category"]) == ("1.50", ["a", None], {"x": 1}, "good")
    assert row["blob"] == "\\xff\x00"
    assert row["when"].startswith("2024-02-29")


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_parquet_with_every_text_type_is_scored(kind: pa.DataType, tmp_path: Path) -> None:
    values = pa.array(["good", None, "", "bad"], pa.string())
    pq.write_table(pa.table({"text": values.cast(kind)}), tmp_path / "in.parquet")
    assert score(tmp_path / "in.parquet", tmp_path / "out.parquet").errors == 1
    rows = read(tmp_path / "out.parquet")
    assert [row["error"] for row in rows] == [None, "row 2: the text is null", None, None]
    assert [row["text"] for row in rows] == ["good", None, "", "bad"]


def test_parquet_text_that_is_not_utf_8_is_kept(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"tr\xe8s", b"bad"]).cast(pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written["error"].to_pylist() == [None, "row 2: the text is not UTF-8", None]
    assert written["text"].cast(pa.binary()).to_pylist() == [b"good", b"tr\xe8s", b"bad"]


@pytest.mark.parametrize("column", [pa.array([1, 2]), pa.array([b"a", b"b"]), pa.array([["a"], ["b"]])])
def test_a_parquet_column_that_is_not_text_is_refused(column: pa.Array, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": column}), tmp_path / "in.parquet")
    with pytest.raises(ScoreError, match="not text; cast it, or choose another"):
        score(tmp_path / "in.parquet", tmp_path / "out.parquet")


@pytest.mark.parametrize("rows", [0, 1])
def test_parquet_with_no_row_or_one_is_scored(rows: int, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array(["good"] * rows, pa.string())}), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").num_rows == rows


def test_the_files_of_a_folder_or_glob_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    folder.mkdir()
    for name, text in (("b.csv", "second"), ("a.csv", "first"), ("_SUCCESS", ""), (".hidden.csv", "none")):
        (folder / name).write_text(f"text\n{text}\n" if text else "")
    for place in (str(folder), str(folder / "*.csv"), f"file://{folder}"):
        score(place, tmp_path / "out.csv")
        assert [row["text"] for row in read(tmp_path / "out.csv")] == ["first", "second"]
        (tmp_path / "out.csv").unlink()


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"a.csv": b"text\n", "b.csv": b"text,more\n"}, "different columns"),
        ({"a.csv": b"text\n", "b.jsonl": b"{}\n"}, "different formats"),
        ({"a.csv": b"text\n", "notes.txt": b"hello\n"}, "its ending is no known format"),
        ({}, "there is no such file"),
    ],
)
def test_a_folder_of_different_files_is_refused(files: dict[str, bytes], line: str, tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with pytest.raises(ScoreError, match=line):
        score(folder, tmp_path / "out.csv")


def test_a_line_past_the_limit_is_cut_and_the_next_row_is_scored(tmp_path: Path) -> None:
    long = b'{"text": "' + b"a" * (MAX_LINE_BYTES + 100) + b'"}\n'
    (tmp_path / "in.jsonl").write_bytes(b'{"text": "good"}\n' + long + b'{"text": "bad"}\n')
    score(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    good, cut, bad = read(tmp_path / "out.jsonl")
    assert cut["error"] == "row 2: the line is longer than 16 MiB; cut"
    assert cut["raw"] == long[:MAX_LINE_BYTES].decode()
    assert (good["text"], bad["text"]) == ("good", "bad")
    (tmp_path / "in.csv").write_bytes(b'text\n"' + b"a" * (MAX_LINE_BYTES + 100) + b'\nbad\n"good"\n')
    score(tmp_path / "in.csv", tmp_path / "out.csv")
    assert [row["error"] for row in read(tmp_path / "out.csv")] == [
        "row 1: the line is longer than 16 MiB; cut",
        "",
        "",
    ]


def test_a_quote_that_is_never_closed_costs_one_row_of_a_large_file(tmp_path: Path) -> None:
    rows = MAX_LINE_BYTES // 50_000 + 10
    (tmp_path / "in.csv").write_bytes(b'text\n"open\n' + (b"a" * 50_000 + b"\n") * rows)
    progress = score(tmp_path / "in.csv", tmp_path / "out.csv")
    assert (progress.rows, progress.errors) == (rows + 1, 1)


def test_a_json_line_with_a_late_name_is_kept_in_raw(tmp_path: Path) -> None:
    lines = [{"text": "good"}] * 3000 + [{"text": "bad", "late": [1]}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    score(tmp_path / "in.jsonl", tmp_path / "out.csv")
    last = read(tmp_path / "out.csv")[-1]
    assert (last["text"], last["error"]) == ("bad", "")
    assert json.loads(last["raw"]) == lines[-1]


def test_two_columns_of_one_name_cannot_become_json(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,a,text\n1,2,good\n")
    with pytest.raises(ScoreError, match="two columns are called a"):
        score(tmp_path / "in.csv", tmp_path / "out.jsonl")
    (tmp_path / "in.csv").write_text('"a\nb","a\nb",text\n1,2,good\n')
    with pytest.raises(ScoreError, match=r"two columns are called a\?b, which"):
        score(tmp_path / "in.csv", tmp_path / "out.jsonl")


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv.gz"])
def test_an_output_without_rows_is_a_valid_file(ending: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"")
    output = tmp_path / f"out{ending}"
    score(tmp_path / "in.jsonl", output)
    assert bool(output.read_bytes()) == (ending != ".jsonl")
    assert read(output) == []


def test_parts_depend_only_on_the_input(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", [f"{'word ' * (number % 90)}{number}" for number in range(3000)])

    def bounds() -> list[tuple[int, int, int]]:
        return [
            (part.number, part.first, len(part.rows)) for part in open_source(str(source), "text", [], 10**6).parts()
        ]

    assert bounds() == bounds()
    assert sum(rows for _, _, rows in bounds()) == 3000


def test_equal_texts_are_computed_once_and_empty_ones_too(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", ["good", "", "good", "", "bad"])
    pool = LengthPool()
    score(source, tmp_path / "out.csv", pool=pool)
    assert pool.submitted == ["good", "", "bad"]
