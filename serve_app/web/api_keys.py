"""API keys from a file, of which only digests are kept."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import time
from pathlib import Path

from serve_app.web.reply import Headers

_RELOAD_S = 1.0
_KEY = re.compile(r"[!-~]{16,256}")

OWNER = b"x-cache-owner"
"""An internal header: the guard puts the digest of the request's API key there."""

logger = logging.getLogger("ray.serve")


class BadKeysFile(ValueError):
    """The file cannot be read, has no key, or has a line that is not a key. Never quotes the file."""


def read_keys(path: Path) -> tuple[bytes, ...]:
    """The sha256 digests of the keys in a file: one key per line; empty lines and lines that start with # are skipped.

    Raises:
        BadKeysFile: the file cannot be used.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise BadKeysFile(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadKeysFile(f"{path} has characters that are not ASCII") from None
    digests = []
    for number, line in enumerate(lines, start=1):
        key = line.strip()
        if not key or key.startswith("#"):
            continue
        if not _KEY.fullmatch(key):
            raise BadKeysFile(f"line {number} of {path} is not a key, which has 16 to 256 visible ASCII characters")
        digests.append(hashlib.sha256(key.encode()).digest())
    if not digests:
        raise BadKeysFile(f"{path} has no key; write one per line, of 16 characters or more")
    return tuple(digests)


def with_owner(headers: Headers, key: bytes | None) -> Headers:
    """The headers with the owner of the cache to use; a value that the caller has sent is removed."""
    others = [(name, value) for name, value in headers if name != OWNER]
    return others if key is None else [*others, (OWNER, hashlib.sha256(key).digest())]


def cache_owner(headers: Headers) -> bytes:
    """The owner that `with_owner` has added; empty if it has added none."""
    return next((value for name, value in headers if name == OWNER), b"")


class ApiKeys:
    """The keys of a file, which is reloaded within a second of a change; only digests stay in memory.

    If the changed file is bad, the former keys stay valid, and the log says why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests = read_keys(path)
        self._stamp = self._look()
        self._look_at = time.monotonic() + _RELOAD_S

    def accept(self, key: bytes) -> bool:
        """Whether the key is valid, in a time that does not depend on the key, so that it reveals nothing."""
        if time.monotonic() >= self._look_at:
            self._reload()
        digest = hashlib.sha256(key).digest()
        # a sum, since `any` would stop at the first match
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0

    def _reload(self) -> None:
        self._look_at = time.monotonic() + _RELOAD_S
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._digests = read_keys(self._path)
        except BadKeysFile as error:
            logger.error("the former API keys stay valid: %s", error)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
