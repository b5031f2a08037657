"""HTTP requests to this machine, which bypass the proxies of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPResponse
from typing import cast
from urllib.request import ProxyHandler, build_opener

_OURS = ("127.0.0.1", "localhost", "::1")


def ask(url: str, timeout_s: float) -> HTTPResponse:
    """The answer to GET, without a proxy.

    Raises:
        OSError: there is no answer in time, or one with an error status.
    """
    return cast("HTTPResponse", build_opener(ProxyHandler({})).open(url, timeout=timeout_s))


def no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Values of no_proxy and NO_PROXY that add loopback to those of the environment."""
    said = [environment[name] for name in ("no_proxy", "NO_PROXY") if environment.get(name)]
    value = ",".join(dict.fromkeys([*",".join(said).split(","), *_OURS])).strip(",")
    return {"no_proxy": value, "NO_PROXY": value}
