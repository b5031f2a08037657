"""Bodies that are no request, and odd ones that are, at the real port; no word of them is echoed."""

from __future__ import annotations

import gzip
import json
import zlib

import httpx
import pytest

from tests.integration.bad_input.requests import CANARY, texts

LIMIT = 1 << 20


def post(client: httpx.Client, body: bytes, deadline_s: float, **headers: str) -> httpx.Response:
    response = client.post("/project/predict", content=body, headers=headers)
    assert response.elapsed.total_seconds() < deadline_s
    assert CANARY not in response.text
    return response


BAD = {
    "empty": b"",
    "white space": b" \r\n\t",
    "not JSON": CANARY.encode(),
    "JSON null": b"null",
    "JSON list": b'["canary-5c1d"]',
    "JSON string": b'"canary-5c1d"',
    "JSON number": b"5",
    "JSON false": b"false",
    "cut off": texts(CANARY)[:-4],
    "cut off in an escape": b'{"text": ["\\u12',
    "gzip without a word": gzip.compress(texts(CANARY)),
    "bad UTF-8": b'{"text": ["\xc3\x28"]}',
    "overlong UTF-8": b'{"text": ["\xc0\x80"]}',
    "half an emoji": b'{"text": ["\xf0\x9f\x98"]}',
    "a surrogate in UTF-8": b'{"text": ["\xed\xa0\xbd"]}',
    "beyond Unicode": b'{"text": ["\xf5\x80\x80\x80"]}',
    "Latin-1": '{"text": ["é"]}'.encode("latin-1"),
    "UTF-16": '{"text": ["a"]}'.encode("utf-16"),
    "UTF-16 without its mark": '{"text": ["a"]}'.encode("utf-16-le"),
    "UTF-32": '{"text": ["a"]}'.encode("utf-32"),
    "lone high surrogate": b'{"text": ["\\ud83d"]}',
    "lone low surrogate": b'{"text": ["\\ude00"]}',
    "swapped surrogates": b'{"text": ["\\ude00\\ud83d"]}',
    "two high surrogates": b'{"text": ["\\ud83d\\ud83d"]}',
    "bad escape": b'{"text": ["\\x41"]}',
    "no text": b"{}",
    "null": b'{"text": null}',
    "string": b'{"text": "canary-5c1d"}',
    "number": b'{"text": 5}',
    "fraction": b'{"text": 1.5}',
    "true": b'{"text": true}',
    "object": b'{"text": {}}',
    "object of lists": b'{"text": {"0": "canary-5c1d"}}',
    "nested list": b'{"text": [["canary-5c1d"]]}',
    "empty list in the list": b'{"text": ["canary-5c1d", []]}',
    "null in the list": b'{"text": ["canary-5c1d", null]}',
    "true in the list": b'{"text": [true]}',
    "number in the list": b'{"text": [5]}',
    "fraction in the list": b'{"text": [1.5]}',
    "object in the list": b'{"text": [{}]}',
    "first wrong of 1,000": texts(5, *["fine"] * 999),
    "one wrong among 999 good": texts(*["fine"] * 500, 5, *["fine"] * 499),
    "last wrong of 1,000": texts(*["fine"] * 999, None),
    "all wrong of 1,000": texts(*range(1000)),
    "NaN": b'{"text": [NaN]}',
    "Infinity": b'{"text": [Infinity]}',
    "minus Infinity": b'{"text": [-Infinity]}',
    "1e999": b'{"text": [1e999]}',
    "minus 1e999 for the list": b'{"text": -1e999}',
    "5,000-digit integer": b'{"text": [' + b"9" * 5000 + b"]}",
    "5,000-digit integer for the list": b'{"text": ' + b"9" * 5000 + b"}",
    "5,000 digits after the point": b'{"text": [0.' + b"9" * 5000 + b"]}",
    "depth 100,000": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "depth 100,000 never closed": b'{"text": ' + b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "a list deep among unknowns": b'{"text": ["a"], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "1,001 texts": texts(*["a"] * 1001),
    "a text of 100,001 characters": texts("x" * 100_001),
    "one word of nearly 1 MB": texts("x" * (LIMIT - 100)),
    "unknown field": json.dumps({"text": ["a"], CANARY: CANARY}).encode(),
    "unknown field first": json.dumps({CANARY: CANARY, "text": ["a"]}).encode(),
    "10,000 unknown fields": json.dumps({"text": ["a"], **{f"{CANARY}{n}": n for n in range(10_000)}}).encode(),
    "another case": b'{"Text": ["a"]}',
    "a blank in the name": b'{"text ": ["a"]}',
    "NUL in the name": b'{"text\\u0000": ["a"]}',
    "an empty name": b'{"": ["a"]}',
    "duplicate keys, the last wrong": b'{"text": ["a"], "text": 5}',
    "two documents": texts("a") + texts("b"),
    "lines of JSON": texts("a") + b"\n" + texts("b"),
    "control character unescaped": b'{"text": ["a\x01b"]}',
    "line break unescaped": b'{"text": ["a\nb"]}',
    "NUL after the end": texts("a") + b"\0",
    "single quotes": b"{'text': ['a']}",
    "no quotes": b"{text: [a]}",
    "trailing comma": b'{"text": ["a",]}',
    "comment": b'{"text": ["a"] /* fine */}',
    "a form": b"text=canary-5c1d",
    "XML": b"<text>canary-5c1d</text>",
    "a pickle": b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x08canary-5c1d\x94.",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_a_bad_body_is_422(client: httpx.Client, deadline_s: float, body: bytes) -> None:
    response = post(client, body, deadline_s)
    assert response.status_code == 422
    assert all(set(entry) == {"type", "loc", "msg"} for entry in response.json()["detail"])


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(texts("a")), 200),
        ("gzip", gzip.compress(texts("a"))[:-5], 422),
        ("gzip", gzip.compress(bytes(64 << 20)), 413),
        ("deflate", zlib.compress(texts("a")), 200),
        ("br", b"\x8b\x02\x80" + texts("a"), 415),
    ],
    ids=["gzip", "gzip that is cut off", "a bomb of 64 MiB", "deflate", "brotli"],
)
def test_a_coded_body_gets_its_status(
    client: httpx.Client, deadline_s: float, encoding: str, body: bytes, status: int
) -> None:
    assert post(client, body, deadline_s, **{"content-encoding": encoding}).status_code == status


GOOD = {
    "NUL": texts("a\x00b"),
    "control characters": texts("".join(map(chr, range(32)))),
    "C1 control characters": texts("".join(map(chr, range(127, 160)))),
    "right to left": texts("\u202eshalom שלום"),
    "zero width": texts("\u200b\u200d\ufeff"),
    "1,000 combining marks": texts("x" + "\u0301" * 1000),
    "emoji sequences": texts("👩‍👩‍👧‍👦🏳️‍🌈", "🤦🏽‍♂️"),
    "paired surrogates": b'{"text": ["\\ud83d\\ude00"]}',
    "noncharacters": texts("\ufffe\uffff\U0010ffff"),
    "private use": texts("\ue000\U000f0000"),
    "tags": texts("\U000e0041\U000e007f"),
    "ligatures and full width": texts("\ufb01ne \uff27\uff4f\uff4f\uff44 \u00b2"),
    "mathematical letters": texts("\U0001d4c1\u2134\U0001d4cb\u212f"),
    "long scripts without blanks": texts("好" * 600, "ก" * 600),
    "NFC and NFD": texts("é", "e\u0301"),
    "special tokens spelled out": texts("[CLS] [SEP] [MASK] [PAD] [UNK]"),
    "nothing but special tokens": texts("[SEP]" * 600),
    "SQL": texts("'; DROP TABLE texts; --"),
    "HTML": texts("<script>alert(1)</script>"),
    "a template": texts("{{7*7}} ${7*7} <%= 7*7 %>"),
    "a path": texts("../../etc/passwd"),
    "a Redis command": texts("\r\nFLUSHALL\r\n", "*1\r\n$8\r\nFLUSHALL\r\n"),
    "CRLF": texts("a\r\nX-Evil: 1\r\n\r\nb"),
    "log injection": texts("\n2026-01-01 ERROR all is lost %s %(x)s ${jndi:ldap://x}"),
    "terminal escapes": texts("\x1b[2J\x1b]0;owned\x07"),
    "511, 512 and 513 tokens": texts("good " * 509, "good " * 510, "good " * 511),
    "one word of 100,000 characters": texts("x" * 100_000),
    "100,000 blanks": texts(" " * 100_000),
    "50,000 full stops": texts(". " * 50_000),
    "1,000 texts": texts(*[f"text {n}" for n in range(1000)]),
    "1,000 times one text": texts(*["the same"] * 1000),
    "1,000 empty texts": texts(*[""] * 1000),
    "no texts": texts(),
    "duplicate keys": b'{"text": ["a", "b"], "text": ["c"]}',
    "a name in escapes": b'{"\\u0074ext": ["a"]}',
    "white space around": b" \r\n\t" + texts("a") + b" \n",
    "empty and blank": texts("", " ", "\n"),
    "numbers as words": texts("5", "null", "true", "NaN", "1e999"),
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD.keys())
def test_an_odd_text_is_a_text(client: httpx.Client, body: bytes) -> None:
    response = client.post("/project/predict", content=body)
    assert response.status_code == 200
    predictions = response.json()["predictions"]
    assert len(predictions) == len(json.loads(body)["text"])
    assert all(sum(entry["score"] for entry in pair) == pytest.approx(1) for pair in predictions)


def test_nfc_and_nfd_are_different_texts_with_an_answer_each(client: httpx.Client, deadline_s: float) -> None:
    response = post(client, texts("an é", "an e\u0301"), deadline_s)
    assert response.headers["x-cache"] == "hit=0,miss=2,coalesced=0"


def test_the_byte_limit_is_exact(client: httpx.Client, deadline_s: float) -> None:
    fits = texts("a").ljust(LIMIT)
    assert post(client, fits, deadline_s).status_code == 200
    too_large = post(client, fits + b" ", deadline_s)
    assert too_large.status_code == 413
    assert too_large.json()["detail"][0]["type"] == "body_too_large"
    assert client.post("/project/predict", content=iter([fits, b" "])).status_code == 413


def test_the_limits_of_texts_and_characters_are_exact(client: httpx.Client, deadline_s: float) -> None:
    many = [client.post("/project/predict", content=texts(*["a"] * number)).status_code for number in (999, 1000, 1001)]
    assert many == [200, 200, 422]
    long = [client.post("/project/predict", content=texts("x" * number)).status_code for number in (99_999, 100_000)]
    assert long == [200, 200]
    assert post(client, texts("x" * 100_001), deadline_s).status_code == 422


def test_513_tokens_are_truncated_and_512_are_not(client: httpx.Client) -> None:
    answers = [client.post("/project/predict", content=texts("a", "good " * number)) for number in (509, 510, 511)]
    assert [answer.headers.get("x-truncated") for answer in answers] == [None, None, "1"]
