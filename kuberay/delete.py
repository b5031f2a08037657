"""Deletes an overlay's objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from kuberay import bounds
from kuberay.apply import CLUSTER_SCOPED
from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import RAY_API, RAY_SERVICE, Object, label

_STEPS = (
    ("VirtualService", "HorizontalPodAutoscaler"),
    ("RayService",),
    ("Deployment", "StatefulSet"),
    ("Service", "PodDisruptionBudget", "PodMonitor", "PrometheusRule"),
    ("ConfigMap", "Secret", "ResourceQuota"),
    ("NetworkPolicy",),
)
"""Traffic first; Ray's clusters before the redis that holds their state; policies last, when no pod is left."""
_APPS = ("project-prediction", "lab", "redis", "gcs-redis")
_POLL_S = 1.0


def to_delete(objects: list[Object], *, namespace_too: bool) -> list[Object]:
    """The objects to delete, in order; cluster-scoped ones only on request: a namespace's deletion takes all in it."""
    kept = [obj for obj in objects if obj["kind"] not in CLUSTER_SCOPED]
    services = [obj for obj in objects if obj["kind"] == "RayService"]
    if services and not any(bounds.is_budget(obj) for obj in objects):
        kept.append(bounds.budget(services[0]["metadata"].get("namespace"), 2))  # `scale` may have made it
    last = [obj for obj in reversed(objects) if obj["kind"] in CLUSTER_SCOPED] if namespace_too else []
    return [*sorted(kept, key=_step), *last]


def delete(
    cluster: Cluster, objects: list[Object], *, wait_s: float, report: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    """Delete each and yield its label with deleted or `not there`.

    With `wait_s` above 0 each step waits until the pods of the one before are gone, at most that long in total.

    Raises:
        ClientError: NOT_READY if pods are left after `wait_s`; later objects were not deleted.
    """
    deadline = time.monotonic() + wait_s
    namespaces = {obj["metadata"]["namespace"] for obj in objects if obj["metadata"].get("namespace")}
    waited_for = 0
    for obj in objects:
        if wait_s and _step(obj) > waited_for:
            waited_for = _step(obj)
            for namespace in namespaces:
                _wait_for_pods(cluster, namespace, waited_for, deadline, report)
        gone = cluster.delete(obj)
        if gone or not bounds.is_budget(obj):
            yield label(obj), "deleted" if gone else "not there"


def _step(obj: Object) -> int:
    for step, kinds in enumerate(_STEPS):
        if obj["kind"] in kinds:
            return step
    return len(_STEPS) if obj["kind"] in CLUSTER_SCOPED else 3


def _wait_for_pods(cluster: Cluster, namespace: str, step: int, deadline: float, report: Callable[[str], None]) -> None:
    """Wait until Ray's pods are gone before workloads are deleted, and all our pods before policies are."""
    if step not in (2, 3):
        return
    while left := _left(cluster, namespace, ray_only=step == 2):  # noqa: PLR2004
        if time.monotonic() > deadline:
            raise ClientError(ExitCode.NOT_READY, f"still there: {', '.join(left[:5])}; the same command goes on")
        report(f"waiting for {len(left)} to go: {', '.join(left[:5])}")
        time.sleep(_POLL_S)


def _left(cluster: Cluster, namespace: str, *, ray_only: bool) -> list[str]:
    """Remaining objects of Ray (service, clusters and pods), or all pods of the overlay's workloads."""
    left = []
    if ray_only:
        try:
            for kind in ("RayService", "RayCluster"):
                found = cluster.items(RAY_API, kind, namespace)
                left += [label(obj) for obj in found if obj["metadata"]["name"].startswith(RAY_SERVICE)]
        except ClientError as error:
            if error.code is not ExitCode.CRD_MISSING:
                raise
    for pod in cluster.items("v1", "Pod", namespace):
        labels = pod["metadata"].get("labels") or {}
        ours = "ray.io/cluster" in labels if ray_only else labels.get("app") in _APPS
        if ours and not _ended(pod):
            left.append(label(pod))
    return left


def _ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
