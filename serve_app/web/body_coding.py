"""Checks the Content-Encoding and character set of a request's body, and decodes it."""

from __future__ import annotations

import codecs
import zlib

from serve_app.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType
from serve_app.web.reply import Headers

_GZIP, _ZLIB, _RAW = 31, 15, -15
"""zlib's `wbits` for the three formats."""
_CODINGS = {b"gzip": _GZIP, b"x-gzip": _GZIP, b"deflate": _ZLIB}
_SUPPORTED = "gzip, deflate, identity"
_CHARSETS = {b"utf-8", b"utf8", b"us-ascii", b"ascii"}
_OTHER_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ZLIB_METHOD, _ZLIB_CHECK = 8, 31
_MEMBERS = 16
"""Parts that gzip data may have. Each copies the data that follows, so many empty parts would be an attack."""


def body_coding(headers: Headers) -> bytes | None:
    """The body's Content-Encoding; None if it has none.

    Raises:
        UnsupportedMediaType: the body is coded otherwise than with gzip or deflate, more than once, or in another
            character set than UTF-8.
    """
    codings = []
    for name, value in headers:
        if name == b"content-encoding":
            codings += [coding for part in value.split(b",") if (coding := part.strip().lower())]
        elif name == b"content-type":
            _check_charset(value)
    codings = [coding for coding in codings if coding != b"identity"]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _CODINGS:
        raise UnsupportedMediaType(
            f"The body's Content-Encoding is not supported; {_SUPPORTED} are, one at a time.",
            loc=["header", "content-encoding"],
            headers={"Accept-Encoding": _SUPPORTED},
        )
    return codings[0]


def decoded(body: bytes, coding: bytes, max_bytes: int) -> bytes:
    """The decoded body. Takes some 5 ms per MiB, and stops past `max_bytes`.

    Raises:
        BodyTooLarge: it would be larger than `max_bytes`.
        InvalidRequest: it is corrupt or cut off, or other data follows it.
    """
    window = _CODINGS[coding]
    if window == _ZLIB and not _has_zlib_header(body):
        window = _RAW  # many clients send raw deflate data
    parts: list[bytes] = []
    size = 0
    try:
        for _ in range(_MEMBERS if window == _GZIP else 1):
            decoder = zlib.decompressobj(window)
            part = decoder.decompress(body, max_bytes + 1 - size)
            size += len(part)
            parts.append(part)
            if size > max_bytes:
                raise BodyTooLarge(f"The body is larger than {max_bytes} bytes once it is decoded.", loc=["body"])
            if not decoder.eof:
                raise _broken(coding)
            body = decoder.unused_data
            if not body:
                return b"".join(parts)
    except zlib.error:
        pass
    raise _broken(coding)


def without_mark(body: bytes) -> bytes:
    """The body without UTF-8's byte-order mark.

    Raises:
        InvalidRequest: it has the mark of another encoding.
    """
    if body.startswith(codecs.BOM_UTF8):
        return body[len(codecs.BOM_UTF8) :]
    if body.startswith(_OTHER_MARKS):
        raise InvalidRequest("The body has the byte-order mark of another encoding than UTF-8.", loc=["body"])
    return body


def _check_charset(content_type: bytes) -> None:
    for parameter in content_type.lower().split(b";")[1:]:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"charset" and value.strip().strip(b"\"'") not in _CHARSETS:
            raise _not_utf8()


def _has_zlib_header(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 15 == _ZLIB_METHOD and int.from_bytes(body[:2]) % _ZLIB_CHECK == 0


def _broken(coding: bytes) -> InvalidRequest:
    return InvalidRequest(f"The body is not complete {coding.decode()} data.", loc=["body"])


def _not_utf8() -> UnsupportedMediaType:
    return UnsupportedMediaType("The body is not in UTF-8, the only supported character set.", loc=["body"])
