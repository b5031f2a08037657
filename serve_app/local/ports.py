"""The ports of a local run: whether they are free, which process holds one, and free ones instead."""

from __future__ import annotations

import contextlib
import ipaddress
import random
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

from serve_app.local.run_folder import reserve

FREE_PORTS = range(20_000, 30_000)
"""Above those of Ray's workers, and below those of Serve's replicas and of outgoing connections."""

SIDE_PORTS = {
    "RAY_SERVE_HAPROXY_STATS_PORT": 8404,
    "RAY_SERVE_HAPROXY_METRICS_PORT": 9101,
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": 8500,
}
"""Ports that HAProxy mode binds besides the service's own, by the variable that changes them."""


def own_address(bind: str) -> str:
    """The host, as in a URL, at which this machine reaches the service if it is bound to the IP address `bind`.

    Raises:
        ValueError: `bind` is not an IP address.
    """
    address = ipaddress.ip_address(bind)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")  # noqa: PLR2004
    return f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004


def is_free(port: int, bind: str = "") -> bool:
    """Whether nothing listens on the port, on any IPv4 address, nor on any IPv6 address if `bind` is one."""
    addresses = {socket.AF_INET: "0.0.0.0"} | ({socket.AF_INET6: "::"} if ":" in bind else {})  # noqa: S104
    for family, address in addresses.items():
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def holder(port: int) -> str:
    """The process that listens on the port, in words; a process of another user cannot be named."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        connections = []
    for connection in connections:
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "a process of another user"


def is_own(bind: str) -> bool:
    """Whether this machine can open a port on the IP address."""
    address = ipaddress.ip_address(bind)
    try:
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET) as probe:  # noqa: PLR2004
            probe.bind((bind, 0))
    except OSError:
        return False
    return True


def needs_rights(port: int) -> bool:
    """Whether the port is too low for this user to open."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return True
        except OSError:
            return False
    return False


def side_ports(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Variables for HAProxy's other ports that the environment does not set: the defaults, or free ports instead.

    They are reserved in the run's `folder`, so that other runs do not take them.
    """
    moved = {}
    for variable, port in SIDE_PORTS.items():
        if variable not in environment:
            while not is_free(port) or not reserve(folder, [port]):
                port = free_port()  # noqa: PLW2901
            moved[variable] = str(port)
    return moved


def free_port() -> int:
    """A port that was free a moment ago, and that the kernel gives to no outgoing connection meanwhile."""
    for port in random.SystemRandom().sample(FREE_PORTS, len(FREE_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {FREE_PORTS.start} to {FREE_PORTS.stop - 1} is free")
