"""Removes secrets from printed text and objects."""

from __future__ import annotations

import base64
import re

from kuberay.names import Object

REDACTED = "REDACTED"
_IN_TEXT = (
    re.compile(r"(?<=://)[^\s/@]*:[^\s/@]+(?=@)"),  # user:password in a URL
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]+"),
    re.compile(r"(?i)(?<=basic )[\w+/=-]{8,}"),
    re.compile(
        r"""(?ix)\b[\w-]*(?:password|passwd|passphrase|secret|token(?!s|iz)|api[_-]?key|access[_-]?key)[\w-]*
        ["']?\s*[=:]\s*["']?(?P<value>[^\s"',;}]+)"""
    ),
    re.compile(r"(?i)(?:\brequirepass|\bmasterauth|--[\w-]*(?:password|secret|token|key))\s+(?P<value>\S+)"),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"),  # a JSON web token
)


def redact_text(text: str) -> str:
    """The line with anything that looks like a credential replaced."""
    for pattern in _IN_TEXT:
        text = pattern.sub(_replace, text)
    return text


def redact_object(obj: Object) -> Object:
    """The object itself, or for a Secret a copy whose values are replaced and which is still a valid Secret."""
    if obj.get("kind") != "Secret":
        return obj
    encoded = base64.b64encode(REDACTED.encode()).decode()
    copy = dict(obj)
    for field, value in (("data", encoded), ("stringData", REDACTED)):
        if field in copy:
            copy[field] = dict.fromkeys(copy[field] or {}, value)
    annotations = copy.get("metadata", {}).get("annotations", {})
    applied = "kubectl.kubernetes.io/last-applied-configuration"  # kubectl keeps the values here too
    if applied in annotations:
        copy["metadata"] = {**copy["metadata"], "annotations": {**annotations, applied: REDACTED}}
    return copy


def _replace(match: re.Match[str]) -> str:
    if "value" not in match.re.groupindex:
        return REDACTED
    return match[0][: match.start("value") - match.start()] + REDACTED
