"""How long the caller will wait, by the headers that Envoy and clients send."""

from __future__ import annotations

from serve_app.reply import Headers

_NAMES = (b"x-envoy-expected-rq-timeout-ms", b"x-request-timeout-ms")
_MOST_DIGITS = 9


def client_timeout_s(headers: Headers) -> float | None:
    """Seconds that the caller will wait, the smaller where two headers tell; None where none does.

    A value that is no positive whole number is passed over: a proxy's header must not fail a request.
    """
    told = [int(value) for name, value in headers if name in _NAMES and len(value) <= _MOST_DIGITS and value.isdigit()]
    return min((value for value in told if value), default=0) / 1000 or None
