"""Taking an overlay's objects away again."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay.apply import in_order
from kuberay.cluster import Cluster
from kuberay.names import Object, label


def to_delete(objects: list[Object], *, namespace_too: bool) -> list[Object]:
    """What goes, in order: the namespace only when told, since it takes everything in it along."""
    return [obj for obj in reversed(in_order(objects)) if obj["kind"] != "Namespace" or namespace_too]


def delete(cluster: Cluster, objects: list[Object]) -> Iterator[tuple[str, str]]:
    """Delete each and yield its label with deleted or `not there`."""
    for obj in objects:
        yield label(obj), "deleted" if cluster.delete(obj) else "not there"
