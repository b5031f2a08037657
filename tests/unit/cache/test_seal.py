"""Keyed hashes on values in Redis."""

from __future__ import annotations

import pytest

from serve_app.cache.seal import Seal
from serve_app.prediction import BadValue

VALUE = b"[0.25,0.75,false]"
SEAL = Seal("a secret of the service")


def test_what_is_put_is_what_was_given() -> None:
    stored = SEAL.put("a", VALUE)
    assert stored.endswith(VALUE)
    assert SEAL.check("a", stored) == VALUE


def test_without_a_secret_values_are_as_they_are() -> None:
    assert Seal("").put("a", VALUE) == VALUE
    assert Seal("").check("a", VALUE) == VALUE


@pytest.mark.parametrize(
    "stored",
    [
        VALUE,
        b"",
        SEAL.put("a", VALUE)[:-1],
        SEAL.put("b", VALUE),
        SEAL.put("", b"a\0" + VALUE),
        Seal("another secret").put("a", VALUE),
        SEAL.put("a", VALUE).replace(b"0.25", b"0.26"),
    ],
    ids=["unsigned", "empty", "cut", "of another key", "shifted", "of another secret", "changed"],
)
def test_anything_else_is_no_value(stored: bytes) -> None:
    with pytest.raises(BadValue):
        SEAL.check("a", stored)
