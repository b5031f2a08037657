"""Keyed hashes on values in Redis, so that another service with access to that Redis cannot forge an answer."""

from __future__ import annotations

import hashlib
import hmac

from serve_app.prediction import BadValue

_DIGITS = 32  # 16 bytes in hexadecimal


class Seal:
    """Puts a keyed hash of a value and its name before the value, and checks it; does nothing without a secret.

    The hash covers the name too, so that a value copied to another name is refused.
    """

    def __init__(self, secret: str) -> None:
        # blake2b takes keys of at most 64 bytes
        self._key = hashlib.blake2b(secret.encode("utf-8", "surrogateescape")).digest() if secret else b""

    def put(self, name: str, value: bytes) -> bytes:
        """The value of `name` as Redis stores it."""
        return self._hash(name, value) + value if self._key else value

    def check(self, name: str, stored: object) -> bytes:
        """The value that `put` was given.

        Raises:
            BadValue: `stored` is not a string, as when a proxy answers an error for one key of many, or the hash is
                missing, or belongs to another name, value or secret.
        """
        if not isinstance(stored, bytes):
            raise BadValue
        if not self._key:
            return stored
        value = stored[_DIGITS:]
        if not hmac.compare_digest(stored[:_DIGITS], self._hash(name, value)):
            raise BadValue
        return value

    def _hash(self, name: str, value: bytes) -> bytes:
        # no name holds a NUL, so no two pairs of name and value are hashed alike
        digest = hashlib.blake2b(name.encode() + b"\0" + value, digest_size=_DIGITS // 2, key=self._key)
        return digest.hexdigest().encode()
