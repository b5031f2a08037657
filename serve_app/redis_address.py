"""Parses an address of Redis into a connection; no other module parses one."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, unquote_to_bytes, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_ssl_verify_flags,
)

CONNECT_TIMEOUT_S = 1.0
"""Time limit of connecting and of closing. No request waits that long."""

_KINDS: dict[str, type[AbstractConnection]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
}
_RAW = "in a password / ? # @ % are written %2F %3F %23 %40 %25, or as they are in SENTIMENT_REDIS_PASSWORD"
DEFAULT_PORT = 6379
_MAX_PORT, _MAX_HOST, _MAX_SOCKET_PATH = 65535, 253, 107
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SERVICE_LINK = "://"
"""Part of the REDIS_PORT that Kubernetes sets for a Service called redis: tcp://10.0.0.1:6379."""


class BadAddress(ValueError):
    """The address cannot be used. The message names the variable, the fault and the remedy, never the value."""

    def __init__(self, fault: str, variable: str = "REDIS_URL") -> None:
        super().__init__(f"{variable} {fault}")


def _verify_flags(value: str) -> object:
    try:
        return parse_ssl_verify_flags(value)  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError("Input should name flags of Python's ssl.VerifyFlags, with a comma between") from None


_DAY_S = 86400
_Seconds = Annotated[float, Field(gt=0, le=_DAY_S, allow_inf_nan=False)]
_Flags = Annotated[Any, BeforeValidator(_verify_flags)]


class _Options(BaseModel):
    """redis-py's options that an address may have, as redis-py calls them.

    redis-py's other options would change the values read, or retry after the time limit.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    db: Annotated[int, Field(ge=0, lt=2**31)] = 0
    username: str = ""
    password: str = ""
    protocol: Annotated[int, Field(ge=2, le=3)] = 2
    client_name: Annotated[str, Field(pattern=r"^[!-~]+$")] | None = None
    health_check_interval: Annotated[int, Field(ge=0, le=_DAY_S)] = 0
    max_connections: Annotated[int, Field(ge=3)] = 3  # an ingress replica has no more
    socket_timeout: _Seconds | None = None
    socket_connect_timeout: _Seconds = CONNECT_TIMEOUT_S
    socket_read_size: Annotated[int, Field(ge=1, le=1 << 24)] = 32768
    socket_keepalive: bool = True
    ssl_keyfile: str | None = None
    ssl_certfile: str | None = None
    ssl_password: str = ""  # without one OpenSSL would ask the terminal
    ssl_ca_certs: str | None = None
    ssl_ca_path: str | None = None
    ssl_ca_data: str | None = None
    ssl_cert_reqs: Literal["none", "optional", "required"] = "required"
    ssl_check_hostname: bool = True
    ssl_include_verify_flags: _Flags = None
    ssl_exclude_verify_flags: _Flags = None
    ssl_min_version: int | None = None
    ssl_ciphers: str | None = None


def redis_connection(
    url: str, username: str = "", password: str = "", fallback_port: str = "", fallback_password: str = ""
) -> AbstractConnection:
    """A connection to the Redis at `url`, not opened yet; no name is resolved.

    `url` is redis://, rediss:// or unix://, or a host with or without a port. `username` and `password` win over those
    of the URL; the fallbacks count if it has none. The protocol is RESP2 unless the URL asks for 3, and the client
    sends no name: servers before Redis 6 and many proxies know neither HELLO nor CLIENT.

    Raises:
        BadAddress: redis-py would fail, or would connect to another address than the one meant.
    """
    parts = _split(url)
    options = _options(parts)
    arguments = options.model_dump(exclude={"max_connections"} | _not_for(parts.scheme))
    arguments["socket_connect_timeout"] = min(options.socket_connect_timeout, CONNECT_TIMEOUT_S)
    arguments["username"] = (
        _bytes(username, "SENTIMENT_REDIS_USERNAME") or _decoded(parts.username) or _bytes(options.username)
    )
    arguments["password"] = (
        _bytes(password, "SENTIMENT_REDIS_PASSWORD")
        or _decoded(parts.password)
        or _bytes(options.password)
        or _bytes(fallback_password, "REDIS_PASSWORD")
    )
    if parts.scheme == "unix":
        arguments["path"] = _socket_path(parts)
    else:
        arguments["host"] = _host(parts)
        arguments["port"] = _port(parts, fallback_port)
    return _KINDS[parts.scheme](driver_info=None, **arguments)


def check_redis_connection(connection: AbstractConnection) -> None:
    """Load the certificates that the connection needs.

    Raises:
        BadAddress: they cannot be used.
    """
    if isinstance(connection, SSLConnection):
        try:
            connection.ssl_context.get()
        except (OSError, ValueError, TypeError, OverflowError) as error:
            why = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "they do not fit"
            raise BadAddress(f"has ssl_ options that cannot be used ({why}); check the files that they name") from None


def _split(url: str) -> SplitResult:
    url = url.strip()
    if "://" not in url:
        url = f"redis://[{url}]" if _is_address(url, ":") else f"redis://{url}"
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in _KINDS:
        raise BadAddress("must start with redis://, rediss:// or unix://, or be a host or host:port")
    if _CONTROL.search(url):
        raise BadAddress("has a control character inside; write it percent-encoded (a line break is %0A)")
    if re.search("[/?].*@|#", rest):
        raise BadAddress(f"is no URL; {_RAW}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its message may hold a part of the password
        raise BadAddress(f"is no URL, or its port is not 1 to 65535; {_RAW}") from None
    return parts


def _options(parts: SplitResult) -> _Options:
    if "+" in parts.query:
        raise BadAddress("has a + among its options; write %2B, or %20 for a space")
    try:
        pairs = parse_qsl(parts.query, True, True, errors="surrogateescape") if parts.query else []  # noqa: FBT003
    except ValueError:
        raise BadAddress("has options that are not name=value with & between") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise BadAddress("has an option twice")
    if parts.scheme != "unix":
        database = re.fullmatch(r"/?|/([0-9]{1,10})/?", parts.path)
        if database is None:
            raise BadAddress(f"must have the number of a database after the host, as /0, or nothing; {_RAW}")
        if database[1] and given.setdefault("db", database[1]) != database[1]:
            raise BadAddress("names two databases")
    unfit = sorted(_not_for(parts.scheme) & given.keys())
    if unfit:
        raise BadAddress(f"has the option {unfit[0]}, which {parts.scheme}:// does not take")
    try:
        return _Options.model_validate(given)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = next(map(str, fault["loc"]), "")
        if fault["type"] == "extra_forbidden" or not name:
            named = f"the option {name}" if re.fullmatch("[a-z_]{1,40}", name) else "an option"
            raise BadAddress(f"has {named}, which cannot be used here; remove it") from None
        raise BadAddress(f"has a wrong {name}: {fault['msg'].removeprefix('Value error, ')}") from None


def _not_for(scheme: str) -> set[str]:
    """Options that connections of this scheme do not know."""
    names = set() if scheme == "rediss" else {name for name in _Options.model_fields if name.startswith("ssl_")}
    return names | {"socket_keepalive"} if scheme == "unix" else names


def _host(parts: SplitResult) -> str:
    if not parts.hostname:
        if "@" in parts.netloc:
            raise BadAddress(f"names no host after the @; {_RAW}")
        return "localhost"
    host = unquote(parts.hostname)
    if _is_address(host):
        return host
    try:
        name = host.lower().encode("idna").decode()
    except UnicodeError:
        name = ""
    # the system treats a name whose last label is a number as an address
    if not _HOST.fullmatch(name) or len(name) > _MAX_HOST or name.rstrip(".").rpartition(".")[2].isdigit():
        raise BadAddress(f"names no host that can exist; {_RAW}")
    return host


def _port(parts: SplitResult, fallback: str) -> int:
    port, variable = str(parts.port), "REDIS_URL"
    if parts.port is None:
        port, variable = fallback.strip(), "REDIS_PORT"
        if not port or _SERVICE_LINK in port:
            return DEFAULT_PORT
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= _MAX_PORT:
        raise BadAddress(f"must have a port from 1 to {_MAX_PORT}", variable)
    return int(port)


def _socket_path(parts: SplitResult) -> str:
    path = unquote(parts.path)
    if parts.hostname or parts.port is not None:
        raise BadAddress("must have three slashes after unix:, as unix:///run/redis.sock")
    if not path.strip("/") or "\0" in path or len(path.encode(errors="replace")) > _MAX_SOCKET_PATH:
        raise BadAddress(f"must name a socket after unix://, in 1 to {_MAX_SOCKET_PATH} bytes")
    return path


def _is_address(host: str, mark: str = "") -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return mark in host


def _decoded(value: str | None) -> bytes:
    return unquote_to_bytes(_bytes(value or ""))


def _bytes(value: str, variable: str = "REDIS_URL") -> bytes:
    """The bytes of the environment variable, which need not be UTF-8."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadAddress("cannot be encoded in UTF-8", variable) from None
