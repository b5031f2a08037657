"""A hundred malformed inputs: either each row is kept with its error, or the file is refused in one line."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from pathlib import Path

import pytest

from serve_app.score.errors import ScoreError
from tests.support.score_runs import score

OK = ""
RETURN = "a carriage return is outside quotes"
QUOTES, LONG, NO_TEXT = "the quotes are malformed", "is longer than 100000 characters", "the object has no text"
UTF8, NULL, NOT_TEXT = "the text is not UTF-8", "the text is null", "the text is not text"
JSON, OBJECT, NAME = "malformed JSON", "not a JSON object", "a name that the scores need"


def few(has: int, header: int = 2) -> str:
    return f"it has {has} fields where the header has {header}"


# the file's bytes, and for each of its rows a part of the expected error, or OK
CSV: dict[str, tuple[bytes, list[str]]] = {
    "plain": (b"id,text\n1,good\n", [OK]),
    "no newline at the end": (b"id,text\n1,good", [OK]),
    "windows newlines": (b"id,text\r\n1,good\r\n2,bad\r\n", [OK, OK]),
    "old mac newlines": (b"id,text\r1,good\r2,bad\r", [OK, OK]),
    "mixed newlines": (b"id,text\n1,good\r\n2,bad\n", [OK, OK]),
    "a lone carriage return in a row": (b"id,text\n1,go\rod\n2,bad\n", [RETURN, OK]),
    "a byte-order mark": (b"\xef\xbb\xbfid,text\n1,good\n", [OK]),
    "a byte-order mark before the text's name": (b"\xef\xbb\xbftext,id\ngood,1\n", [OK]),
    "a byte-order mark in the middle": (b"id,text\n1,\xef\xbb\xbfgood\n", [OK]),
    "only a header": (b"id,text\n", []),
    "blank lines": (b"id,text\n\n1,good\n\n\n2,bad\n\n", [OK, OK]),
    "an empty text": (b"id,text\n1,\n", [OK]),
    "an empty text in quotes": (b'id,text\n1,""\n', [OK]),
    "a blank text": (b"id,text\n1,   \n", [OK]),
    "one column": (b"text\ngood\nbad\n", [OK, OK]),
    "one column with an empty text": (b'text\n""\ngood\n', [OK, OK]),
    "one column and a comma in a row": (b"text\ngood, bad\n", [few(2, 1)]),
    "a comma in quotes": (b'id,text\n1,"good, bad"\n', [OK]),
    "a newline in quotes": (b'id,text\n1,"good\nbad"\n2,fine\n', [OK, OK]),
    "windows newlines in quotes": (b'id,text\r\n1,"good\r\nbad"\r\n2,fine\r\n', [OK, OK]),
    "doubled quotes": (b'id,text\n1,"a ""good"" one"\n', [OK]),
    "quotes inside a field": (b'id,text\n1,a "good" one\n', [OK]),
    "quotes that end too early": (b'id,text\n1,"good" one\n2,bad\n', [QUOTES, OK]),
    "quotes that never end": (b'id,text\n1,"good\n2,bad\n3,fine\n', [QUOTES, OK, OK]),
    "quotes that never end in the last row": (b'id,text\n1,good\n2,"bad\n', [OK, QUOTES]),
    "quotes that never end, and other quotes behind": (b'id,text\n1,"good\n2,"bad"\n3,fine\n', [QUOTES, OK, OK]),
    "two rows with quotes that never end": (b'id,text\n1,"a\n2,"b\n3,c\n', [QUOTES, QUOTES, OK]),
    "backslashes before quotes": (b'id,text\n1,"a \\"good\\" one"\n2,b\n', [QUOTES, OK]),
    "single quotes": (b"id,text\n1,'good\n", [OK]),
    "curly quotes": ("id,text\n1,“good, bad”\n".encode(), [few(3)]),
    "too few fields": (b"id,text\n1\n2,bad\n", [few(1), OK]),
    "too many fields": (b"id,text\n1,good,more\n2,bad\n", [few(3), OK]),
    "a comma at the end of each row": (b"id,text\n1,good,\n2,bad,\n", [few(3), few(3)]),
    "a comma at the end of the header": (b"id,text,\n1,good,\n", [OK]),
    "semicolons in a row": (b"id,text\n1;good\n", [few(1)]),
    "a tab in a row": (b"id,text\n1\tgood\n", [few(1)]),
    "spaces around the fields": (b"id,text\n 1 , good \n", [OK]),
    "a space before quotes": (b'id,text\n1, "good"\n', [OK]),
    "Latin-1": ("id,text\n1,très bon\n2,bad\n".encode("latin-1"), [UTF8, OK]),
    "Latin-1 in another column": ("id,text\né,good\n".encode("latin-1"), [OK]),
    "Windows-1252 quotes": (b"id,text\n1,\x93good\x94\n", [UTF8]),
    "Shift JIS": ("id,text\n1,好き\n".encode("shift-jis"), [UTF8]),
    "a cut UTF-8 letter": (b"id,text\n1,caf\xc3\n2,bad\n", [UTF8, OK]),
    "an overlong UTF-8 letter": (b"id,text\n1,\xc0\xaf\n", [UTF8]),
    "a surrogate in UTF-8": (b"id,text\n1,\xed\xa0\x80\n", [UTF8]),
    "a NUL": (b"id,text\n1,go\x00od\n", [OK]),
    "control characters": (b"id,text\n1,\x01\x02\x1b[31m\n", [OK]),
    "a line separator of Unicode": ("id,text\n1,good\u2028bad\n".encode(), [OK]),
    "a form feed": (b"id,text\n1,good\x0cbad\n", [OK]),
    "right to left": ("id,text\n1,رائع\n".encode(), [OK]),
    "NA, null and NaN as text": (b"id,text\n1,NA\n2,null\n3,NaN\n", [OK, OK, OK]),
    "numbers as text": (b"id,text\n1,5\n2,1e999\n", [OK, OK]),
    "a formula": (b"id,text\n1,=1+1\n", [OK]),
    "a text at the limit": (b"id,text\n1," + b"a" * 100_000 + b"\n", [OK]),
    "a text past the limit": (b"id,text\n1," + b"a" * 100_001 + b"\n2,bad\n", [LONG, OK]),
    "two other columns of one name": (b"a,a,text\n1,2,good\n", [OK]),
    "a column without a name": (b",text\n1,good\n", [OK]),
    "columns called label and error": (b"label,error,text\n1,2,good\n", [OK]),
    "a comment": (b"id,text\n# nothing\n1,good\n", [few(1), OK]),
    "the header once more": (b"id,text\n1,good\nid,text\n", [OK, OK]),
    "dates": (b"when,text\n2024-02-30,good\n31/12/99,bad\n", [OK, OK]),
}

JSON_LINES: dict[str, tuple[bytes, list[str]]] = {
    "plain ": (b'{"text": "good"}\n', [OK]),
    "no newline at the end ": (b'{"text": "good"}', [OK]),
    "an empty file ": (b"", []),
    "blank lines ": (b'\n{"text": "good"}\n\n  \n{"text": "bad"}\n', [OK, OK]),
    "windows newlines ": (b'{"text": "good"}\r\n{"text": "bad"}\r\n', [OK, OK]),
    "a byte-order mark ": (b'\xef\xbb\xbf{"text": "good"}\n', [OK]),
    "null": (b'{"text": null}\n{"text": "bad"}\n', [NULL, OK]),
    "a number": (b'{"text": 5}\n', [NOT_TEXT]),
    "a truth": (b'{"text": true}\n', [NOT_TEXT]),
    "a list": (b'{"text": ["good"]}\n', [NOT_TEXT]),
    "an object": (b'{"text": {"en": "good"}}\n', [NOT_TEXT]),
    "no text in one row": (b'{"text": "good"}\n{"id": 2}\n', [OK, NO_TEXT]),
    "an empty object": (b'{"text": "good"}\n{}\n', [OK, NO_TEXT]),
    "another case": (b'{"text": "good"}\n{"Text": "bad"}\n', [OK, NO_TEXT]),
    "cut off": (b'{"text": "good"}\n{"text": "ba', [OK, JSON]),
    "two objects in a line": (b'{"text": "good"} {"text": "bad"}\n{"text": "fine"}\n', [JSON, OK]),
    "a comma behind each line": (b'{"text": "good"},\n{"text": "bad"}\n', [JSON, OK]),
    "single quotes ": (b"{'text': 'good'}\n{\"text\": \"bad\"}\n", [JSON, OK]),
    "a newline in a string": (b'{"text": "go\nod"}\n{"text": "bad"}\n', [JSON, JSON, OK]),
    "a bare string": (b'"good"\n{"text": "bad"}\n', [OBJECT, OK]),
    "a bare number": (b'5\n{"text": "bad"}\n', [OBJECT, OK]),
    "a list in a line": (b'["good"]\n{"text": "bad"}\n', [OBJECT, OK]),
    "a line of a log": (b'[INFO] start\n\n{"text": "bad"}\n', [JSON, OK]),
    "two lines of a log": (b'[INFO] start\n[2026-01-01] go\n{"text": "bad"}\n', [JSON, JSON, OK]),
    "a list of objects in a line": (b'[{"text": "good"}]\n{"text": "bad"}\n', [OBJECT, OK]),
    "a bare null": (b'null\n{"text": "bad"}\n', [OBJECT, OK]),
    "prose": (b'hello\n{"text": "bad"}\n', [JSON, OK]),
    "NaN elsewhere": (b'{"text": "good", "stars": NaN}\n', [OK]),
    "Infinity elsewhere": (b'{"text": "good", "stars": -Infinity}\n', [OK]),
    "NaN as text": (b'{"text": NaN}\n', [NOT_TEXT]),
    "a lone surrogate": (b'{"text": "\\ud800"}\n{"text": "bad"}\n', [UTF8, OK]),
    "a pair of surrogates": (b'{"text": "\\ud83d\\ude00"}\n', [OK]),
    "an escaped NUL": (b'{"text": "\\u0000"}\n', [OK]),
    "a bare NUL": (b'{"text": "\x00"}\n{"text": "bad"}\n', [JSON, OK]),
    "Latin-1 ": ('{"text": "très"}\n{"text": "bad"}\n'.encode("latin-1"), [JSON, OK]),
    "nested": (b'{"text": "good", "meta": {"a": [1, {"b": null}]}}\n', [OK]),
    "too deep": (b'{"text": "good", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", [JSON]),
    "a number without end": (b'{"text": "good", "a": ' + b"9" * 5000 + b"}\n", [JSON]),
    "a number past 64 bits": (b'{"text": "good", "a": 123456789012345678901234567890}\n', [OK]),
    "text twice": (b'{"text": "good", "text": "bad"}\n', [OK]),
    "a text past the limit ": (b'{"text": "' + b"a" * 100_001 + b'"}\n', [LONG]),
    "a label in a later row": (b'{"text": "good"}\n' * 3000 + b'{"text": "bad", "label": 1}\n', [*[OK] * 3000, NAME]),
    "labels in all rows": (b'{"text": "good", "label": 1}\n{"text": "bad", "label": 0}\n', [OK, OK]),
    "spaces around": (b'   {"text": "good"   }   \n', [OK]),
    "other names in each row": (b'{"text": "good", "a": 1}\n{"b": 2, "text": "bad"}\n', [OK, OK]),
}

# the file's name, its bytes, and a part of the error
REFUSED: dict[str, tuple[str, bytes, str]] = {
    "an empty CSV": ("a.csv", b"", "no header"),
    "a CSV of blank lines": ("a.csv", b"\n\n\n", "no header"),
    "another column": ("a.csv", b"id,review\n1,good\n", "has no column text, only id, review"),
    "another case ": ("a.csv", b"Id,Text\n1,good\n", "only Id, Text"),
    "semicolons": ("a.csv", b"id;text\n1;good\n", "only id;text"),
    "tabs in a CSV": ("a.csv", b"id\ttext\n1\tgood\n", "only id?text"),
    "two columns of text": ("a.csv", b"text,text\ngood,bad\n", "2 columns text"),
    "a header with open quotes": ("a.csv", b'id,"text\n1,good\n', "no header"),
    "a header in Latin-1": ("a.csv", "é,text\n1,good\n".encode("latin-1"), "not UTF-8"),
    "UTF-16": ("a.csv", "id,text\n1,good\n".encode("utf-16"), "UTF-16"),
    "UTF-32": ("a.csv", "id,text\n1,good\n".encode("utf-32"), "iconv -f UTF-32"),
    "UTF-16, the other way": ("a.csv", b"\xfe\xff" + "id,text\n".encode("utf-16-be"), "UTF-16"),
    "a gzip without its ending": ("a.csv", gzip.compress(b"id,text\n1,good\n"), "compressed with gzip"),
    "a zstd without its ending": ("a.jsonl", b"\x28\xb5\x2f\xfd\x00", "compressed with zstd"),
    "a bzip2 without its ending": ("a.csv", bz2.compress(b"id,text\n1,good\n", 1), "compressed with bzip2"),
    "an xz without its ending": ("a.jsonl", lzma.compress(b'{"text": "good"}\n'), "compressed with xz"),
    "no gzip": ("a.csv.gz", b"id,text\n1,good\n", "damaged or incomplete"),
    "half a gzip": ("a.csv.gz", gzip.compress(b"id,text\n1,good\n" * 9)[:-12], "damaged or incomplete"),
    "an empty gzip": ("a.csv.gz", b"", "no header"),
    "no zstd": ("a.csv.zst", b"id,text\n1,good\n", "a.csv.zst"),
    "a JSON array": ("a.json", b'[\n{"text": "good"}\n]\n', "one JSON array"),
    "a JSON array over lines": ("a.json", b'[{"text": "good"},\n{"text": "bad"}\n]\n', "one JSON array"),
    "a JSON array in a line": ("a.json", b'[{"text": "good"}, {"text": "bad"}]', "one JSON array"),
    "JSON without the column": ("a.jsonl", b'{"review": "good"}\n{"stars": 5}\n', "only review, stars"),
    "no Parquet": ("a.parquet", b"id,text\n1,good\n", "read as Parquet"),
    "an empty Parquet": ("a.parquet", b"", "read as Parquet"),
    "half a Parquet": ("a.parquet", b"PAR1" + b"\0" * 100, "read as Parquet"),
    "an unknown ending": ("a.txt", b"good\n", "its ending is no known format"),
    "no ending": ("a", b"good\n", "its ending is no known format"),
    "Excel": ("a.xlsx", b"PK\x03\x04", "its ending is no known format"),
    "an unknown compression": ("a.csv.bz2", b"BZh9", "its ending is no known format"),
}


def check(row: dict[str, object], number: int, expected: str) -> None:
    """Check that the row has scores, or an error with its number."""
    error = row.get("predicted_error", row.get("error")) or ""
    label = row.get("predicted_label", row.get("label"))
    if expected:
        assert str(error).startswith(f"row {number}: ")
        assert expected in str(error)
        assert not label
    else:
        assert not error
        assert label in ("NEGATIVE", "POSITIVE")


def test_there_are_more_than_a_hundred_inputs() -> None:
    assert len(CSV | JSON_LINES) + len(REFUSED) > 100


@pytest.mark.parametrize("name", CSV)
def test_each_row_of_csv_is_kept(name: str, tmp_path: Path) -> None:
    data, expected = CSV[name]
    (tmp_path / "in.csv").write_bytes(data)
    score(tmp_path / "in.csv", tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_bytes().decode("utf-8", "surrogateescape")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert len(rows) == len(expected)
    for number, (row, fault) in enumerate(zip(rows, expected, strict=True), 1):
        check(dict(zip(header, row, strict=True)), number, fault)


@pytest.mark.parametrize("name", CSV)
def test_every_character_of_csv_is_in_its_field_or_in_raw(name: str, tmp_path: Path) -> None:
    data, _ = CSV[name]
    (tmp_path / "in.csv").write_bytes(data)
    score(tmp_path / "in.csv", tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_bytes().decode("utf-8", "surrogateescape")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    width = header.index("predicted_label" if "predicted_label" in header else "label")
    kept = "".join(row[-1] or "".join(row[:width]) for row in [[*header[:width], ""], *rows])
    before = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    assert _letters(kept) == _letters(before)


def _letters(text: str) -> str:
    return text.translate(dict.fromkeys(map(ord, '\r\n",')))


@pytest.mark.parametrize("name", JSON_LINES)
def test_each_row_of_json_lines_is_kept_unchanged(name: str, tmp_path: Path) -> None:
    data, expected = JSON_LINES[name]
    (tmp_path / "in.jsonl").write_bytes(data)
    score(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert len(lines) == len(expected)
    own = [line.strip() for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    for number, (line, before, fault) in enumerate(zip(lines, own, expected, strict=True), 1):
        row = json.loads(line) if fault != JSON or b"[" * 9 not in line else {"error": f"row {number}: {JSON}"}
        check(row, number, fault)
        if "raw" in row:
            assert row["raw"] == before.decode("utf-8", "backslashreplace")
        else:
            assert line.startswith(before.rstrip(b"}").rstrip()) or b"[" * 9 in line


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_scored_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    file, data, line = REFUSED[name]
    (tmp_path / file).write_bytes(data)
    with pytest.raises(ScoreError) as refused:
        score(tmp_path / file, tmp_path / "out.csv")
    assert line in str(refused.value)
    assert file in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "good" not in str(refused.value)
    assert not list(tmp_path.glob("out*"))
