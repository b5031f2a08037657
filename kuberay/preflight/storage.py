"""Checks that volumes can be made, and that HPAs have metrics."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import Object
from kuberay.preflight.finding import Finding, Level

_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def check(cluster: Cluster, objects: list[Object]) -> Iterator[Finding]:
    """Findings about StorageClasses and the metrics server."""
    claims = [claim for obj in objects for claim in (obj.get("spec") or {}).get("volumeClaimTemplates") or []]
    if claims:
        yield from _classes(cluster, claims)
    if any(obj["kind"] == "HorizontalPodAutoscaler" for obj in objects):
        try:
            cluster.plural("metrics.k8s.io/v1beta1", "PodMetrics")
        except ClientError as error:
            if error.code is not ExitCode.CRD_MISSING:
                raise
            said = "the cluster has no metrics server, without which HPAs scale nothing"
            yield Finding(Level.WARNING, ExitCode.CRD_MISSING, said)


def _classes(cluster: Cluster, claims: list[Object]) -> Iterator[Finding]:
    classes = {item["metadata"]["name"]: item for item in cluster.items("storage.k8s.io/v1", "StorageClass", None)}
    default = [
        name for name, item in classes.items() if (item["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"
    ]
    for claim in claims:
        wanted = claim["spec"].get("storageClassName")
        if wanted is None and not default:
            there = ", ".join(sorted(classes)) or "none"
            said = (
                f"no StorageClass is the default (there are: {there}), so gcs-redis gets no volume; "
                "docs/how-to/kubernetes.md"
            )
            yield Finding(Level.WARNING, ExitCode.UNSCHEDULABLE, said)
        elif wanted and wanted not in classes:
            yield Finding(Level.WARNING, ExitCode.UNSCHEDULABLE, f"there is no StorageClass {wanted}")
