"""Names the reason why Redis is not used, without any part of its address."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from redis import exceptions as redis

_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (redis.NoPermissionError, "Redis does not permit its user this command (NOPERM)"),
    (redis.BusyLoadingError, "Redis is loading its data (LOADING)"),
    (redis.ReadOnlyError, "Redis is a replica that takes no writes (READONLY)"),
    (redis.OutOfMemoryError, "Redis is full (OOM)"),
    (redis.AskError, "Redis is a cluster, and one server is needed (MOVED)"),  # and its subclass MovedError
    (redis.ClusterCrossSlotError, "Redis is a cluster, and one server is needed (CROSSSLOT)"),
    (redis.ClusterDownError, "Redis is a cluster, and one server is needed (CLUSTERDOWN)"),
    (redis.InvalidResponse, "the server at this address does not speak Redis' protocol"),
    (socket.gaierror, "the name of Redis cannot be resolved"),
    (ssl.SSLCertVerificationError, "the certificate of Redis is not trusted"),
    (ssl.SSLError, "TLS with Redis fails"),
    (ConnectionRefusedError, "Redis refuses connections"),
    (FileNotFoundError, "the socket of Redis does not exist"),
    (PermissionError, "the socket of Redis may not be opened"),
    (TimeoutError, "Redis does not answer in time"),
    (redis.TimeoutError, "Redis does not answer in time"),
)
_WORDS = (
    # messages of various servers and versions for which redis-py has no class
    ("WRONGPASS", "Redis refuses the password (WRONGPASS)"),
    ("invalid password", "Redis refuses the password"),
    ("NOAUTH", "Redis asks for a password (NOAUTH)"),
    ("operation not permitted", "Redis asks for a password"),
    ("without any password configured", "Redis has no password, and one is set here"),
    ("no password is set", "Redis has no password, and one is set here"),
    ("max number of clients", "Redis has as many clients as it accepts"),
    ("protected mode", "Redis is in protected mode and accepts clients of its own machine only (DENIED)"),
    ("DB index is out of range", "Redis has no database of this number"),
    ("unknown command", "Redis does not know a command that is needed"),
    ("MISCONF", "Redis cannot save its data and takes no writes (MISCONF)"),
    ("Connection closed by server", "Redis closes the connection"),
)


def reason(error: BaseException) -> str:
    """The kind of failure; never the error's own message, which may hold a host or a password."""
    chain = list(_chain(error))
    for each in chain:
        words = f"{getattr(each, 'status_code', '')} {each}".lower()
        for fragment, why in _WORDS:
            if isinstance(each, redis.RedisError) and fragment.lower() in words:
                return why
        for kind, why in _KINDS:
            if isinstance(each, kind):
                return why
    if isinstance(chain[-1], OSError):
        return "Redis cannot be reached"
    return f"Redis fails ({type(error).__name__})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, since redis-py wraps the system's errors."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__
