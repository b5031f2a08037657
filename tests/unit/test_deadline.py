from __future__ import annotations

import pytest

from serve_app.deadline import client_timeout_s

ENVOY, OWN = b"x-envoy-expected-rq-timeout-ms", b"x-request-timeout-ms"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([(b"content-length", b"250")], None),
        ([(OWN, b"250")], 0.25),
        ([(ENVOY, b"15000")], 15.0),
        ([(ENVOY, b"15000"), (OWN, b"250")], 0.25),
        ([(ENVOY, b"250"), (OWN, b"15000")], 0.25),
    ],
)
def test_the_smaller_of_both_counts(headers: list[tuple[bytes, bytes]], seconds: float | None) -> None:
    assert client_timeout_s(headers) == seconds


@pytest.mark.parametrize("value", [b"", b"0", b"-5", b"1.5", b"1e3", b"soon", b"\xff", b" 7", b"9" * 5000, b"\xb2"])
def test_a_value_that_is_none_is_passed_over(value: bytes) -> None:
    assert client_timeout_s([(OWN, value)]) is None
    assert client_timeout_s([(OWN, value), (ENVOY, b"100")]) == 0.1
