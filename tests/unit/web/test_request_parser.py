"""What a body costs the event loop, whatever JSON it holds, and what is said of its faults."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
import tracemalloc
from typing import Any

import pytest

from serve_app.errors import InvalidRequest
from serve_app.settings import Settings
from serve_app.web.error_replies import error_reply
from serve_app.web.request_parser import LARGE_BYTES, RequestParser
from tests.support.machine_speed import slowdown

MIB = 1 << 20
MAX_S, MAX_MB = 0.010, 10
PARSER = RequestParser(Settings())
LATE = b'{"text":[' + b",".join(b'"%d"' % n for n in range(11_000)) + b","
UNKNOWN = b",".join(b'"field %d":0' % n for n in range(60_000)) + b"}"


def filled(unit: str, before: bytes = b'{"text":[', after: bytes = b"]}", size: int = MIB) -> bytes:
    """As many units with commas between as fit."""
    part = unit.encode()
    return before + b",".join([part] * ((size - len(before) - len(after) + 1) // (len(part) + 1))) + after


def nested(depth: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + b"[" * depth + b"]" * depth + after


HEAVY: dict[str, bytes] = {
    "nested": nested(MIB // 2),
    "nested and open": b"[" * MIB,
    "nested objects": b'{"a":' * (MIB // 5),
    "nested text": nested(500_000, b'{"text":', b"}"),
    "nested late": nested(400_000, LATE, b"]}"),
    "a wide list of lists": filled("[]", b"[", b"]"),
    "lists in text": filled("[]"),
    "deep lists in text": filled("[" * 50 + "]" * 50),
    "objects in text": filled('{"a":{}}'),
    "lists late": filled("[]", LATE),
    "objects late": filled('{"a":{}}', LATE),
    "numbers": filled("0"),
    "floats": filled("1e9"),
    "NaN": filled("NaN"),
    "unknown fields": b"{" + UNKNOWN,
    "unknown fields after text": b'{"text":["a"],' + UNKNOWN,
    "unknown fields after long texts": LATE[:-1] + b"]," + UNKNOWN,
    "text 80,000 times": filled('"text":["a"]', b"{", b"}"),
    "text 280 times": filled('"text":' + json.dumps(["a"] * 900), b"{", b"}"),
    "text wrong many times": filled('"text":0', b"{", b"}"),
    "short texts": filled('"a"'),
    "empty texts": filled('""'),
    "wide characters": filled('"中"'),
    "quotes in texts": filled('"\\""'),
    "backslashes in texts": filled('"\\\\"'),
    "one text of quotes": b'{"text":["' + b'\\"' * 500_000 + b'"]}',
    "1,000 texts of quotes": filled('"' + '\\"' * 515 + '"'),
    "1,000 good texts": json.dumps({"text": ["x" * 1000] * 1000}).encode(),
    "escapes": b'{"text":["' + b"\\u00e9" * 170_000 + b'"]}',
    "surrogate pairs": b'{"text":["' + b"\\ud83d\\ude00" * 80_000 + b'"]}',
    "lone surrogates": b'{"text":["' + b"\\ud800" * 170_000 + b'"]}',
    "emoji": ('{"text":["' + "😀" * 260_000 + '"]}').encode(),
    "an integer": b'{"text":[' + b"9" * 1_000_000 + b"]}",
    "an integer alone": b"9" * MIB,
    "a fraction": b'{"text":[0.' + b"9" * 1_000_000 + b"]}",
    "blanks": b" " * 1_000_000 + b'{"text":["a"]}',
    "a long name": b'{"' + b"k" * 1_000_000 + b'":1}',
    "bad UTF-8 at the end": b'{"text":["' + b"a" * 1_000_000 + b'\xff"]}',
    **{
        f"{name}, {LARGE_BYTES} bytes": filled(unit, size=LARGE_BYTES)
        for name, unit in {
            "lists": "[]",
            "deep lists": "[" * 50 + "]" * 50,
            "objects": '{"a":{}}',
            "short texts": '"a"',
            "numbers": "0",
        }.items()
    },
    f"unknown fields, {LARGE_BYTES} bytes": b"{" + UNKNOWN[: LARGE_BYTES - 2].rpartition(b",")[0] + b"}",
}


def detail(body: bytes, parser: RequestParser = PARSER) -> list[dict[str, Any]]:
    """The faults of a body; none where it is good."""
    try:
        parser.texts(body)
    except InvalidRequest as error:
        return json.loads(error_reply(error).body)["detail"]  # type: ignore[no-any-return]
    return []


@pytest.fixture(scope="module")
def machine() -> float:
    return slowdown()


@pytest.mark.slow
@pytest.mark.parametrize("body", HEAVY.values(), ids=HEAVY.keys())
def test_no_body_of_a_mebibyte_holds_the_loop_for_ten_milliseconds_or_takes_ten_megabytes(
    body: bytes, machine: float
) -> None:
    assert len(body) <= MIB
    times = []
    for _ in range(7):
        gc.collect()
        began = time.thread_time()
        faults = detail(body)
        times.append(time.thread_time() - began)
    assert min(times) < MAX_S * machine
    tracemalloc.start()
    detail(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MAX_MB * 1e6
    if len(body) > LARGE_BYTES and faults:
        (fault,) = faults
        assert fault["loc"][0] == "body"


def test_nor_does_it_where_memory_is_not_pythons() -> None:
    code = """
import resource, sys
from serve_app.errors import InvalidRequest
from serve_app.web.request_parser import RequestParser
from serve_app.settings import Settings
from tests.unit.web.test_request_parser import HEAVY
parser = RequestParser(Settings())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for body in HEAVY.values():
    try:
        parser.texts(body)
    except InvalidRequest:
        pass
sys.exit(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > 16 << 10)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


@pytest.mark.parametrize(
    ("body", "kind", "loc"),
    [
        (filled("[]"), "string_type", ["body", "text", 0]),
        (filled("0", b'{"text":["a",'), "string_type", ["body", "text", 1]),
        (b'{"text":' + filled("0", b"{", b"}"), "list_type", ["body", "text"]),
        (filled("0", b"[", b"]"), "model_type", ["body"]),
        (b"{" + UNKNOWN, "extra_forbidden", ["body"]),
        (b"{}".ljust(LARGE_BYTES + 1), "missing", ["body", "text"]),
        (filled('"a"'), "too_long", ["body", "text"]),
        (json.dumps({"text": ["x" * 1000] * 1001}).encode(), "too_long", ["body", "text"]),
        (json.dumps({"text": ["a", "x" * 100_001]}).encode(), "string_too_long", ["body", "text", 1]),
        (b'{"text":["' + b"\\ud800" * 20_000 + b'"]}', "json_invalid", ["body"]),
        (b'{"text":["a"' + b" " * LARGE_BYTES, "json_invalid", ["body"]),
        (nested(400_000, LATE, b"]}"), "json_invalid", ["body"]),
    ],
)
def test_a_large_body_gets_its_first_fault_with_its_place(body: bytes, kind: str, loc: list[str | int]) -> None:
    (fault,) = detail(body)
    assert (fault["type"], fault["loc"]) == (kind, loc)
    assert fault["msg"]


def test_a_small_body_gets_all_its_faults_as_before() -> None:
    faults = detail(b'{"text": ["a", 5, null], "other": 1}')
    assert [(fault["type"], fault["loc"]) for fault in faults] == [
        ("string_type", ["body", "text", 1]),
        ("string_type", ["body", "text", 2]),
        ("extra_forbidden", ["body"]),
    ]


@pytest.mark.parametrize("name", ["canary", "x - at `$.text[5]`", "` - at `$.text[7]`", "y of length"])
@pytest.mark.parametrize("padding", [0, LARGE_BYTES])
def test_a_fields_name_is_in_no_fault_and_misleads_none(name: str, padding: int) -> None:
    body = json.dumps({name: 1}).encode().ljust(padding + 20)
    faults = detail(body)
    assert faults[-1]["type"] == "extra_forbidden"
    assert faults[-1]["loc"] == ["body"]
    assert name not in json.dumps(faults)


@pytest.mark.parametrize("text", ["a", "", '"', "\\", '\\"', '\\\\"', '"' * 300, "\\" * 301, '","', "中"])
def test_quotes_in_texts_are_not_counted_as_texts(text: str) -> None:
    parser = RequestParser(Settings(max_texts=300))
    for pad in (0, 2 * LARGE_BYTES):
        texts = [text] * 300
        assert parser.texts(json.dumps({"text": texts}).encode().ljust(pad)) == texts
        assert detail(json.dumps({"text": [*texts, text]}).encode().ljust(pad), parser)[0]["type"] == "too_long"


def test_of_many_lists_under_one_name_the_last_counts() -> None:
    many = b"{" + b",".join([b'"text":' + json.dumps(["a"] * 900).encode()] * 100) + b',"text":["b"]}'
    assert len(many) > LARGE_BYTES
    assert PARSER.texts(many) == ["b"]
