"""Ask this machine itself, whatever proxies the environment names for others."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPResponse
from typing import cast
from urllib.request import ProxyHandler, build_opener

_OURS = ("127.0.0.1", "localhost", "::1")


def ask(url: str, timeout_s: float) -> HTTPResponse:
    """The answer to GET, without a proxy.

    Raises:
        OSError: nobody answers in time, or with an error status.
    """
    return cast("HTTPResponse", build_opener(ProxyHandler({})).open(url, timeout=timeout_s))


def no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep a process' own requests to loopback from a proxy, added to what they say now."""
    said = [environment[name] for name in ("no_proxy", "NO_PROXY") if environment.get(name)]
    value = ",".join(dict.fromkeys([*",".join(said).split(","), *_OURS])).strip(",")
    return {"no_proxy": value, "NO_PROXY": value}
