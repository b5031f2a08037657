"""Bodies that are not valid predict requests, each with a name."""

from __future__ import annotations

CANARY = "canary-7f3a"
BAD_BODIES: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("not JSON", CANARY.encode()),
    ("cut off", b'{"text": ["' + CANARY.encode()),
    ("bad UTF-8", b'{"text": ["\xff\xfe"]}'),
    ("lone surrogate", b'{"text": ["\\ud800"]}'),
    ("null body", b"null"),
    ("list body", b'["a"]'),
    ("string body", b'"a"'),
    ("no text", b"{}"),
    ("null", b'{"text": null}'),
    ("string", b'{"text": "canary-7f3a"}'),
    ("number", b'{"text": 5}'),
    ("object", b'{"text": {"a": "canary-7f3a"}}'),
    ("nested list", b'{"text": [["canary-7f3a"]]}'),
    ("number inside", b'{"text": ["canary-7f3a", 5]}'),
    ("null inside", b'{"text": [null]}'),
    ("true inside", b'{"text": [true]}'),
    ("float inside", b'{"text": [1.5]}'),
    ("object inside", b'{"text": [{}]}'),
    ("NaN inside", b'{"text": [NaN]}'),
    ("Infinity inside", b'{"text": [Infinity]}'),
    ("1e999 inside", b'{"text": [1e999]}'),
    ("long integer inside", b'{"text": [' + b"9" * 250 + b"]}"),
    ("unknown field", b'{"text": ["a"], "canary-7f3a": 1}'),
    ("only an unknown field", b'{"canary-7f3a": ["a"]}'),
    ("deep", b"[" * 250),
    ("one text too many", b'{"text": ["a","a","a","a","a","a"]}'),
    ("one character too many", b'{"text": ["' + b"x" * 21 + b'"]}'),
    ("two documents", b'{"text": ["a"]}{"text": ["b"]}'),
]
