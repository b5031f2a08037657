"""Server-side apply of a rendered overlay: what others lean on first."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay.cluster import Cluster
from kuberay.names import Object, label

_FIRST = (
    "Namespace",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Service",
)
"""Namespace, config, services, then the rest; policies stand before the pods that they guard."""


def in_order(objects: list[Object]) -> list[Object]:
    """The objects in the order to apply; its reverse is the order to delete."""
    return sorted(objects, key=lambda obj: _FIRST.index(obj["kind"]) if obj["kind"] in _FIRST else len(_FIRST))


def apply(cluster: Cluster, objects: list[Object], *, force: bool, dry_run: bool) -> Iterator[tuple[str, str]]:
    """Apply each object and yield its label with created, configured or unchanged.

    Where it stops at an error, what came before stays applied; the same command goes on from there.
    """
    for obj in in_order(objects):
        meta = obj["metadata"]
        before = cluster.find(obj["apiVersion"], obj["kind"], meta["name"], meta.get("namespace"))
        after = cluster.apply(obj, force=force, dry_run=dry_run)
        if before is None:
            outcome = "created"
        elif before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]:
            outcome = "unchanged"
        else:
            outcome = "configured"
        yield label(obj), outcome
