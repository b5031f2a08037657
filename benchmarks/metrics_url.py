"""`python -m benchmarks.metrics_url PORT`: the URL of Ray's metrics of the service on this port.

Prints nothing if it is not found. With `serve run`, Ray's agent chooses that port.
"""

from __future__ import annotations

from http.client import HTTPException
from typing import Annotated
from urllib.request import urlopen

import psutil
import typer

from benchmarks.command import run

_AGENT = "DashboardAgent"
_MARKER = b"ray_serve_"


def main(port: Annotated[int, typer.Argument(min=1, max=65535, help="Port of the service.")]) -> None:
    """Print the URL of Ray's metrics of the service on this port."""
    typer.echo(find_metrics(port) or "", nl=False)


def find_metrics(port: int) -> str | None:
    """URL of the metrics of the service that listens on `port`, or None."""
    for process in psutil.process_iter(["cmdline"]):
        if "serve_app.local" in (process.info["cmdline"] or []) and port in _ports_below(process, "haproxy"):
            urls = (f"http://127.0.0.1:{each}/metrics" for each in _ports_below(process, _AGENT))
            return next((url for url in urls if _has_metrics(url)), None)
    return None


def _ports_below(parent: psutil.Process, title: str) -> set[int]:
    ports = set()
    for process in parent.children(recursive=True):
        try:
            if title in " ".join(process.cmdline()):
                connections = process.net_connections("tcp")
                ports |= {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return ports


def _has_metrics(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310  (our own http address)
            return _MARKER in answer.read()
    except (OSError, HTTPException):
        return False


if __name__ == "__main__":
    run(main)
