"""Every port that a running service listens on, held against the table in docs/reference/security.md."""

from __future__ import annotations

import ipaddress
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from serve_app import haproxy
from serve_app.local.ports import free_port
from serve_app.local.processes import haproxy_of_ours
from tests.support.service import REPOSITORY, Service
from tests.support.wait import until

EVERYWHERE = "0.0.0.0"  # noqa: S104
Listener = tuple[str, str, int]
"""The table's name of a process, the address and the port that it listens on."""


def table() -> dict[str, str]:
    """Where each process may listen with `make run`, by a part of its command line."""
    text = (REPOSITORY / "docs" / "reference" / "security.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \|", text, re.MULTILINE))


def listeners(service: Service) -> list[Listener]:
    """What the service's processes listen on; those that end meanwhile do not count."""
    assert service.process is not None
    found: list[Listener] = []
    for process in psutil.Process(service.process.pid).children(recursive=True):
        try:
            command = " ".join(process.cmdline())
            connections = process.net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        name = next((part for part in table() if part in command), command)
        found += [(name, *each.laddr) for each in connections if each.status == psutil.CONN_LISTEN]
    return found


def replicas(service: Service) -> int:
    """How many replicas run."""
    assert service.process is not None
    names = [process.name() for process in psutil.Process(service.process.pid).children(recursive=True)]
    return sum("ServeReplica:sentiment" in name for name in names)


def is_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def test_only_what_the_table_says_listens_and_only_where(service: Service) -> None:
    # a worker without work is not always there, nor are Ray's fixed metrics ports where another Ray has them
    always = table().keys() - {"ray::IDLE", "autoscaler/_private/monitor.py"}
    until(lambda: always <= {each[0] for each in listeners(service)}, "all of the table listen")
    found = listeners(service)
    assert {name for name, _, _ in found} <= set(table())
    outside = [(name, port) for name, address, port in found if not is_loopback(address)]
    assert {name for name, _ in outside} == {name for name, where in table().items() if where != "loopback"}
    assert len(outside) == replicas(service), "one for each"
    assert ("bin/haproxy", "127.0.0.1", service.port) in found


@pytest.fixture
def own_addresses() -> list[str]:
    """This machine's addresses that others can reach."""
    addresses = [
        each.address
        for all_of_one in psutil.net_if_addrs().values()
        for each in all_of_one
        if each.family == socket.AF_INET
    ]
    addresses = [address for address in addresses if not is_loopback(address)]
    if not addresses:
        pytest.skip("this machine has no address besides loopback")
    return addresses


def test_from_outside_nothing_else_is_reached(service: Service, own_addresses: list[str]) -> None:
    for name, address, port in listeners(service):
        for own in own_addresses:
            with socket.socket() as probe:
                probe.settimeout(5)
                reached = probe.connect_ex((own, port)) == 0
            assert reached == (not is_loopback(address)), f"{name} at {own}:{port}"


def test_the_ports_for_calls_between_replicas_ask_for_rays_token(service: Service, own_addresses: list[str]) -> None:
    ports = {port for _, address, port in listeners(service) if not is_loopback(address)}
    assert ports
    for port in ports:
        for metadata in ([], [("authorization", "Bearer " + "0" * 64)]):
            with grpc.insecure_channel(f"{own_addresses[0]}:{port}") as channel:
                call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
                with pytest.raises(grpc.RpcError) as refused:
                    call(b"", timeout=10, metadata=metadata)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


CONFIG = """defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    option httplog
frontend prometheus
    bind :{metrics}
    http-request use-service prometheus-exporter
frontend http_frontend
    bind *:{port}
    http-request return status 204
listen stats
  bind *:{stats}
  stats enable
"""


@pytest.fixture
def configuration(tmp_path: Path) -> tuple[Path, dict[str, int]]:
    """A configuration with what Serve's has of binds, and its ports."""
    ports = {name: free_port() for name in ("metrics", "port", "stats")}
    file = tmp_path / "haproxy.cfg"
    file.write_text(CONFIG.format(**ports))
    return file, ports


@pytest.fixture
def bound(tmp_path: Path, configuration: tuple[Path, dict[str, int]]) -> Iterator[psutil.Process]:
    """Serve's HAProxy, started by our script for all addresses."""
    variables = haproxy_of_ours(tmp_path, EVERYWHERE)
    if not variables:
        pytest.skip("setpriv or Serve's HAProxy is missing")
    script = variables["RAY_SERVE_HAPROXY_BINARY_PATH"]
    process = subprocess.Popen([script, "-db", "-f", str(configuration[0])], stderr=subprocess.DEVNULL)
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def test_bind_opens_the_services_port_alone(bound: psutil.Process, configuration: tuple[Path, dict[str, int]]) -> None:
    file, ports = configuration

    def bindings() -> set[tuple[str, int]]:
        return {(each.laddr.ip, each.laddr.port) for each in bound.net_connections("inet") if each.status == "LISTEN"}

    wanted = {(EVERYWHERE, ports["port"]), ("127.0.0.1", ports["metrics"]), ("127.0.0.1", ports["stats"])}
    until(lambda: bindings() == wanted, f"it listens on {wanted}")
    assert str(file) in bound.cmdline(), "Serve knows it by that"


def test_a_change_made_twice_is_made_once() -> None:
    once = haproxy.log_without_path(haproxy.bind_to(CONFIG.format(metrics=1, port=2, stats=3), "::1"))
    assert "bind [::1]:2\n" in once
    assert "option httplog" not in once
    assert haproxy.log_without_path(haproxy.bind_to(once, "::1")) == once


def test_a_bind_that_is_no_address_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serve_app.local", "--bind", "everywhere", "--port", str(free_port())],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: BIND is not an IP address; ")
