"""How many files this process and its children may open, and what HAProxy can do with that."""

from __future__ import annotations

import resource

MOST_CONNECTIONS = 4096
"""Serve's own default for HAProxy."""

_FILES_A_CONNECTION = 2.5  # a socket on each side, and a quarter of the connections get a pipe of two
_FILES_BESIDES = 128  # listeners, health checks, pollers


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one, which is returned."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connections(files: int) -> dict[str, str]:
    """The variable that has HAProxy take fewer connections where its default needs more than `files` open files.

    HAProxy refuses to start with a limit that is too low for its number of connections.
    """
    if files == resource.RLIM_INFINITY or files >= MOST_CONNECTIONS * _FILES_A_CONNECTION + _FILES_BESIDES:
        return {}
    return {"RAY_SERVE_HAPROXY_MAXCONN": str(max(1, int((files - _FILES_BESIDES) / _FILES_A_CONNECTION)))}
