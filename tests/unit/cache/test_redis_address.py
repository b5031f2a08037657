"""Addresses that redis-py takes for what is meant, and addresses that it would fail on, or take for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from serve_app.redis_address import BadAddress, check_redis_connection, redis_connection


@pytest.mark.parametrize(
    ("url", "host", "port", "db"),
    [
        ("redis-service", "redis-service", 6379, 0),
        ("redis-service:7000", "redis-service", 7000, 0),
        ("redis-service:7000/2", "redis-service", 7000, 2),
        (" redis://cache:7000/0\n", "cache", 7000, 0),
        ("REDIS://Cache", "cache", 6379, 0),
        ("redis://my_cache.default.svc.cluster.local./3/", "my_cache.default.svc.cluster.local.", 6379, 3),
        ("redis://127.0.0.1:1?db=15", "127.0.0.1", 1, 15),
        ("redis://cache/1?db=1", "cache", 6379, 1),
        ("::1", "::1", 6379, 0),
        ("[::1]:7000", "::1", 7000, 0),
        ("redis://[fe80::1%25eth0]:65535/0", "fe80::1%eth0", 65535, 0),
        ("redis://münchen.example", "münchen.example", 6379, 0),
        ("redis://", "localhost", 6379, 0),
        ("redis:///4", "localhost", 6379, 4),
        ("redis://:7000", "localhost", 7000, 0),
    ],
)
def test_an_address_is_read(url: str, host: str, port: int, db: int) -> None:
    connection: Any = redis_connection(url)
    assert (connection.host, connection.port, connection.db) == (host, port, db)
    assert (connection.protocol, connection.socket_timeout, connection.driver_info) == (2, None, None)


@pytest.mark.parametrize(
    ("url", "username", "password"),
    [
        ("redis://cache", b"", b""),
        ("redis://:@cache", b"", b""),
        ("redis://:hush@cache", b"", b"hush"),
        ("redis://ann:a%2Fb%40c%25%23%3F@cache", b"ann", b"a/b@c%#?"),
        ("redis://:p@ss:w0rd@cache", b"", b"p@ss:w0rd"),
        ("redis://:50%off@cache", b"", b"50%off"),
        ("redis://:two words@cache", b"", b"two words"),
        ("redis://:p%e4ss@cache", b"", b"p\xe4ss"),
        ("redis://:päss@cache", b"", "päss".encode()),
        ("redis://cache?username=ann&password=a%2Bb", b"ann", b"a+b"),
        ("unix://ann:hush@/run/redis.sock", b"ann", b"hush"),
        ("unix:///run/redis.sock?password=hush", b"", b"hush"),
    ],
)
def test_user_and_password_of_an_address_are_read(url: str, username: bytes, password: bytes) -> None:
    connection: Any = redis_connection(url)
    assert (connection.username, connection.password) == (username, password)


def test_a_socket_is_read() -> None:
    connection: Any = redis_connection("unix:///run/my%20redis.sock?db=2")
    assert isinstance(connection, UnixDomainSocketConnection)
    assert (connection.path, connection.db) == ("/run/my redis.sock", 2)


def test_options_of_tls_are_read() -> None:
    options = (
        "ssl_cert_reqs=optional&ssl_check_hostname=no&ssl_min_version=771&ssl_include_verify_flags=VERIFY_X509_STRICT"
    )
    connection = redis_connection(f"rediss://cache?{options}")
    assert isinstance(connection, SSLConnection)
    check_redis_connection(connection)
    assert connection.check_hostname is False
    assert connection.min_version == 771


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        # passwords that are not percent-encoded
        ("redis://:aB3/dE+f=@127.0.0.1:1/0", "is no URL"),
        ("redis://:hush#hush@127.0.0.1:1/0", "is no URL"),
        ("redis://:hush?hush@127.0.0.1:1/0", "is no URL"),
        ("redis://:[hush]@127.0.0.1:1/0", "is no URL"),
        ("redis://:123/45@cache:6379/0", "is no URL"),
        ("redis://ann:12?hush=34@cache/0", "is no URL"),
        ("redis://ann:hush@/0", "names no host"),
        ("redis://:hu\nsh@cache", "has a control character"),
        ("redis://:\ud800@cache", "cannot be encoded"),
        # ports, hosts and databases
        ("redis://cache:port", "is no URL, or its port"),
        ("redis://cache:65536", "is no URL, or its port"),
        ("redis://cache:0", "must have a port from 1"),
        ("redis://cache:1,other:2", "is no URL, or its port"),
        ("redis://[::1/0", "is no URL, or its port"),
        ("redis://a..b", "names no host that can exist"),
        ("redis://256.1.1.1", "names no host that can exist"),
        ("6379", "names no host that can exist"),
        ("redis://" + "a" * 64, "names no host that can exist"),
        ("redis://cache%2Fx", "names no host that can exist"),
        ("redis://cache/abc", "must have the number of a database"),
        ("redis://cache/1/2", "must have the number of a database"),
        ("redis://cache/-1", "must have the number of a database"),
        ("redis://cache/9999999999", "has a wrong db: Input should be less than"),
        ("redis://cache/1?db=2", "names two databases"),
        # schemes
        ("http://cache", "must start with redis://"),
        ("tcp://10.0.0.1:6379", "must start with redis://"),
        ("unix://", "must name a socket"),
        ("unix://run/redis.sock", "must have three slashes"),
        ("unix:///" + "x" * 108, "must name a socket"),
        ("unix:///run/%00", "must name a socket"),
        # options
        ("redis://cache?db=x", "has a wrong db: Input should be a valid integer"),
        ("redis://cache?db=", "has a wrong db: Input should be a valid integer"),
        ("redis://cache?protocol=4", "has a wrong protocol: Input should be less than or equal to 3"),
        ("redis://cache?socket_timeout=0", "has a wrong socket_timeout: Input should be greater than 0"),
        ("redis://cache?socket_timeout=inf", "has a wrong socket_timeout: Input should be a finite number"),
        ("redis://cache?client_name=a%20b", "has a wrong client_name"),
        ("redis://cache?max_connections=1", "has a wrong max_connections"),
        ("redis://cache?timeout=1", "has the option timeout, which cannot be used here"),
        ("redis://cache?retry_on_timeout=yes", "has the option retry_on_timeout, which cannot be used here"),
        ("redis://cache?decode_responses=True", "has the option decode_responses, which cannot be used here"),
        ("redis://cache?ssl=true", "has the option ssl, which cannot be used here"),
        ("redis://cache?host=other", "has the option host, which cannot be used here"),
        ("redis://cache?%00=other", "has an option, which cannot be used here"),
        ("redis://cache?\udcff=1", "has an option, which cannot be used here"),
        ("redis://cache?db=1&db=1", "has an option twice"),
        ("redis://cache?db", "has options that are not name=value"),
        ("redis://cache?password=a+b", "has a + among its options"),
        ("redis://cache?ssl_cert_reqs=none", "has the option ssl_cert_reqs, which redis:// does not take"),
        ("unix:///run/r?socket_keepalive=yes", "has the option socket_keepalive, which unix:// does not take"),
        ("rediss://cache?ssl_cert_reqs=CERT_NONE", "has a wrong ssl_cert_reqs: Input should be 'none', 'optional' or"),
        ("rediss://cache?ssl_check_hostname=hush", "has a wrong ssl_check_hostname: Input should be a valid boolean"),
        ("rediss://cache?ssl_include_verify_flags=hush", "has a wrong ssl_include_verify_flags: Input should name"),
        ("rediss://cache?ssl_ca_certs=/hush", "has ssl_ options that cannot be used (No such file or directory)"),
        ("rediss://cache?ssl_ca_certs=/etc/hosts", "has ssl_ options that cannot be used (they do not fit)"),
        ("rediss://cache?ssl_certfile=/hush", "has ssl_ options that cannot be used"),
        ("rediss://cache?ssl_ca_data=hush", "has ssl_ options that cannot be used"),
        ("rediss://cache?ssl_ciphers=hush", "has ssl_ options that cannot be used"),
        ("rediss://cache?ssl_min_version=7", "has ssl_ options that cannot be used"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_shown(url: str, fault: str) -> None:
    with pytest.raises(BadAddress) as caught:
        check_redis_connection(redis_connection(url))
    assert str(caught.value).startswith(f"REDIS_URL {fault}")
    assert "hush" not in str(caught.value)
    assert "cache" not in str(caught.value)


def test_a_key_that_is_encrypted_asks_nobody_for_its_password(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"hush")
    )
    (tmp_path / "key.pem").write_bytes(key)
    with pytest.raises(BadAddress):
        check_redis_connection(redis_connection(f"rediss://cache?ssl_certfile={tmp_path}/key.pem"))
