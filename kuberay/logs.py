"""Reads log lines of the service's pods, one after the other, or follows them together."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Generator, Iterator

from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode, Unreachable
from kuberay.names import ROLES
from kuberay.snapshot import Snapshot, take
from kuberay.templates import own_container

_LOOK_AGAIN_S = 3.0


def read(cluster: Cluster, namespace: str, role: str | None, tail: int, *, previous: bool) -> Iterator[tuple[str, str]]:
    """The last lines of each pod of the role, or of all pods, as pairs of pod and line."""
    targets = _targets(take(cluster, namespace), role)
    if not targets:
        raise ClientError(ExitCode.NOT_FOUND, f"namespace {namespace} has no {role or 'running'} pod to read")
    for pod, container in targets:
        yield from ((pod, line) for line in cluster.logs(pod, namespace, container, tail=tail, previous=previous))


def follow(cluster: Cluster, namespace: str, role: str | None, tail: int) -> Generator[tuple[str, str], None, None]:
    """Pairs of pod and line as they arrive, from later pods too, until the caller stops."""
    lines: queue.Queue[tuple[str, str]] = queue.Queue(maxsize=10_000)
    readers: dict[str, threading.Thread] = {}
    while True:
        for pod, container in _targets_now(cluster, namespace, role, first=not readers):
            if pod not in readers or not readers[pod].is_alive():
                # a pod that was read before continues with its new lines
                lines_first = tail if pod not in readers else 0
                arguments = (cluster, namespace, pod, container, lines_first, lines)
                readers[pod] = threading.Thread(target=_pump, args=arguments, daemon=True)
                readers[pod].start()
        look_again = time.monotonic() + _LOOK_AGAIN_S  # even while lines arrive, since a new pod's are missing
        with contextlib.suppress(queue.Empty):
            while (left := look_again - time.monotonic()) > 0:
                yield lines.get(timeout=left)


def _pump(
    cluster: Cluster, namespace: str, pod: str, container: str, tail: int, lines: queue.Queue[tuple[str, str]]
) -> None:
    try:
        for line in cluster.logs(pod, namespace, container, tail=tail, follow=True):
            lines.put((pod, line))
    except ClientError as error:
        lines.put((pod, f"-- {error}"))


def _targets_now(cluster: Cluster, namespace: str, role: str | None, *, first: bool) -> list[tuple[str, str]]:
    try:
        return _targets(take(cluster, namespace), role)
    except Unreachable:
        if first:
            raise
        return []


def _targets(snapshot: Snapshot, role: str | None) -> list[tuple[str, str]]:
    """Pod and own container of each pod that has started."""
    found = []
    for pod in snapshot.pods:
        its = snapshot.role(pod)
        if its in ROLES and role in (None, its) and (pod.get("status") or {}).get("phase") != "Pending":
            found.append((pod["metadata"]["name"], own_container(pod["spec"])["name"]))
    return sorted(found)
