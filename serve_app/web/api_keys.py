"""API keys from a file, of which only digests are kept."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import time
from pathlib import Path

from serve_app.web.reply import Headers

_LOOK_AGAIN_S = 1.0
_KEY = re.compile(r"[!-~]{16,256}")

OWNER = b"x-cache-owner"
"""The header in which the guard tells, within the process, which key a request came with: its digest."""

logger = logging.getLogger("ray.serve")


class BadKeysFile(ValueError):
    """The file cannot be read, has no key, or a line of it is none. Never quotes the file."""


def read_keys(path: Path) -> tuple[bytes, ...]:
    """The sha256 digests of the keys in a file: one key a line, empty lines and lines with `#` in front are none.

    Raises:
        BadKeysFile: see there.
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
            raise BadKeysFile(f"line {number} of {path} is no key: 16 to 256 visible ASCII characters without a space")
        digests.append(hashlib.sha256(key.encode()).digest())
    if not digests:
        raise BadKeysFile(f"{path} has no key; one a line, of 16 characters or more")
    return tuple(digests)


def with_owner(headers: Headers, key: bytes | None) -> Headers:
    """The headers with the owner of the cache that answers; whatever a caller has put there is gone."""
    others = [(name, value) for name, value in headers if name != OWNER]
    return others if key is None else [*others, (OWNER, hashlib.sha256(key).digest())]


def cache_owner(headers: Headers) -> bytes:
    """The owner that `with_owner` has put there; empty where it has put none."""
    return next((value for name, value in headers if name == OWNER), b"")


class ApiKeys:
    """The keys of a file, which is read again within a second of a change; only digests stay in memory.

    A file that turns bad changes nothing: the former keys hold, and the log says why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests = read_keys(path)
        self._stamp = self._look()
        self._look_at = time.monotonic() + _LOOK_AGAIN_S

    def accept(self, key: bytes) -> bool:
        """Whether this is one of the keys; takes as long for each, so that time tells nothing."""
        if time.monotonic() >= self._look_at:
            self._read_again()
        digest = hashlib.sha256(key).digest()
        # a sum, since `any` would stop at the first that fits
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0

    def _read_again(self) -> None:
        self._look_at = time.monotonic() + _LOOK_AGAIN_S
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._digests = read_keys(self._path)
        except BadKeysFile as error:
            logger.error("the former API keys still hold: %s", error)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
