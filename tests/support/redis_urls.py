"""Passwords and addresses of Redis that hypothesis generates: valid ones, and ones with common mistakes."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

# from `openssl rand -base64`, typical ones, and characters that no keyboard has
passwords = st.one_of(
    st.binary(min_size=6, max_size=24).map(lambda raw: base64.b64encode(raw).decode()),
    st.text("abcXYZ019/+=#?@%:&[]!$ \\'\"", min_size=4, max_size=20),
    st.text(min_size=4, max_size=20),
    st.text(st.characters(max_codepoint=0x2FF), min_size=4, max_size=12),
)
schemes = st.sampled_from(
    ["redis://"] * 20 + ["rediss://", "", "unix://", "REDIS://", "redis:", "http://", "redis:///"]
)
hosts = st.sampled_from(
    ["127.0.0.1"] * 20
    + ["localhost", "[::1]", "::1", "127.0.0.1.", "127.0.0.256", "[::1", "", "redis-service", "slow.redis", "a_b.c"]
    + ["redis..svc", "-", "xn--", "münchen", "%31", "6379", "h,h2", "redis.a" + "b" * 70]
)
paths = st.sampled_from(
    [""] * 12 + ["/0"] * 12 + ["/", "/15", "/99", "/abc", "/0/1", "/-1", "/99999999999", "/ 1", "/run/r"]
)
options = st.sampled_from(
    [
        "db=1",
        "db=x",
        "db=",
        "db=1e3",
        "protocol=3",
        "protocol=9",
        "socket_timeout=5",
        "socket_timeout=0",
        "socket_timeout=inf",
        "timeout=1",
        "ssl=true",
        "socket_connect_timeout=1e-9",
        "health_check_interval=1",
        "health_check_interval=x",
        "max_connections=1",
        "max_connections=50",
        "decode_responses=True",
        "encoding=utf-16",
        "client_name=a",
        "ssl_cert_reqs=none",
        "ssl_cert_reqs=maybe",
        "ssl_ca_certs=/none",
        "ssl_ciphers=x",
        "ssl_min_version=1",
        "x",
        "=&",
        "?",
        "host=127.0.0.1",
        "port=1",
        "path=/x",
        "password=a+b",
        "password=p%2Fw",
        "username=u",
        "connection_class=x",
        "socket_read_size=1",
        "socket_read_size=-1",
        "retry_on_timeout=yes",
        "legacy_responses=0",
        "retry_on_error=x",
    ]
)


def addresses(ports: list[str]) -> st.SearchStrategy[tuple[str, str]]:
    """A URL with its password, of parts that may not fit, sometimes with a changed character."""
    port = st.sampled_from([f":{each}" for each in ports] * 6 + ["", ":", ":0", ":99999", ":port", ":1:2", ":-1", ":٣"])
    users = st.sampled_from(["", "", "default", "us%20er", "u@x"])
    quoting = st.sampled_from([quote, lambda password: quote(password, safe=""), lambda password: password, None])

    def url(parts: Any) -> tuple[str, str]:
        scheme, user, password, quoted, host, at, path, query, (place, change) = parts
        secret = f"{user}:{quoted(password)}@" if quoted is not None else ""
        text = f"{scheme}{secret}{host}{at}{path}" + ("?" + "&".join(query) if query else "")
        if change is not None:
            place %= len(text) + 1
            text = text[:place] + change + text[place + (place % 2) :]
        return text, password if quoted is not None else ""

    change = st.tuples(
        st.integers(0, 200), st.one_of(st.none(), st.none(), st.sampled_from("/:@?#%[] \n\t\0&=+é\udcff"))
    )
    query: st.SearchStrategy[list[str]] = st.one_of(st.just([]), st.lists(options, max_size=2))
    return st.tuples(schemes, users, passwords, quoting, hosts, port, paths, query, change).map(url)
