"""The environment that Serve runs in on this machine."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from serve_app.local.loopback import no_proxy
from serve_app.local.open_files import raise_limit
from serve_app.local.ports import side_ports
from serve_app.local.processes import haproxy_of_ours
from serve_app.web import before_serve

DRAIN_FILE = "SENTIMENT_DRAIN_FILE"
TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"  # noqa: S105  (the name of a variable)

_MAX_TMPDIR_CHARS = 36

DEFAULTS = {
    # each is a measured choice, see docs/decisions; a variable that is set already wins
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_LOG_TO_STDERR": "1",
    before_serve.VARIABLE: before_serve.CALLBACK,
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response 0rtt-rejected junk-response",
    "RAY_SERVE_HAPROXY_RETRIES": "3",
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "60",
    "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": "1",
    # the service counts and times requests itself; otherwise HAProxy logs each for its actor to parse
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
    # Ray would lower the priority of all its workers; only the engine's threads should have a low one
    "RAY_worker_niceness": "0",
    # with gRPC's many threads glibc would make many arenas, which fragment and return no memory
    "MALLOC_ARENA_MAX": "2",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    # with 0 Ray uses loopback as this node's address, on any system, and opens its ports only there
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


def serve_environment(folder: Path, bind: str, user: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Serve's environment: the user's variables, DEFAULTS for the others, and this run's files in `folder`.

    `bind` is the address of the service's port.
    """
    sockets = folder / "h"
    sockets.mkdir()
    # by default Serve, and Ray, put these into folders that all runs on the machine share
    ours = {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(sockets / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(sockets / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(sockets),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(sockets / "server-state"),
    }
    raise_limit()
    # temporary files of Ray's processes would otherwise stay after kill -9
    environment = {**DEFAULTS, **ours, **user, "TMPDIR": str(folder)}
    if not _fits_sockets(user.get("RAY_TMPDIR", "")):
        environment["RAY_TMPDIR"] = str(folder)
    if not any(user.get(name) for name in ("RAY_AUTH_TOKEN", TOKEN_FILE)):
        # otherwise Ray keeps one below the home directory, which may be missing or read-only
        environment[TOKEN_FILE] = str(token_file(folder))
    environment |= no_proxy(user)
    environment |= side_ports(environment, folder)
    # the user's drain file, if it is set and not empty; it is watched, and made for a drain
    environment[DRAIN_FILE] = str(Path(user.get(DRAIN_FILE) or folder / "draining").absolute())
    return {**haproxy_of_ours(folder, bind), **environment}


def ray_status(environment: Mapping[str, str]) -> str:
    """The `ray status` command for a run with this environment. It works for users who may read the run's token.

    It finds the run only if no other Ray runs on the machine. An address would not help: Ray replaces a loopback one.
    """
    names = ("RAY_TMPDIR", "RAY_AUTH_MODE", TOKEN_FILE)
    variables = [f"{name}={shlex.quote(environment[name])}" for name in names if name in environment]
    return f"Ray: {' '.join(variables)} {shlex.quote(str(Path(sys.executable).parent / 'ray'))} status"


def _fits_sockets(place: str) -> bool:
    """Whether Ray can put its sockets below this folder: their paths have at most 107 characters."""
    return 0 < len(place) <= _MAX_TMPDIR_CHARS and os.access(place, os.W_OK | os.X_OK)


def token_file(folder: Path) -> Path:
    """Write a new random token to a file in the run's folder; all of Ray's ports require it."""
    file = folder / "token"
    file.touch(0o600)
    file.write_text(secrets.token_hex(32), encoding="ascii")
    return file
