"""Deletes an overlay's objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from kuberay import bounds
from kuberay.apply import CLUSTER_SCOPED, find
from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import FIELD_MANAGER, RAY_API, RAY_SERVICE, Object, label

_STEPS = (
    ("VirtualService", "HorizontalPodAutoscaler"),
    ("RayService",),
    ("Deployment", "StatefulSet"),
    ("Service", "PodDisruptionBudget", "PodMonitor", "PrometheusRule"),
    ("ConfigMap", "Secret", "ResourceQuota"),
    ("NetworkPolicy",),
)
"""Traffic first; Ray's clusters before the redis that holds their state; policies last, when no pod is left."""
_POLL_S = 1.0


def to_delete(objects: list[Object], *, namespace_too: bool) -> list[Object]:
    """The objects to delete, in order; the namespace only on request.

    A PriorityClass stays: the pods of other namespaces may need it, and could not be made without it.
    """
    kept = [obj for obj in objects if obj["kind"] not in CLUSTER_SCOPED]
    services = [obj for obj in objects if obj["kind"] == "RayService"]
    if services and not any(bounds.is_budget(obj) for obj in objects):
        kept.append(bounds.budget(services[0]["metadata"].get("namespace"), 2))  # `scale` may have made it
    last = [obj for obj in objects if obj["kind"] == "Namespace"] if namespace_too else []
    return [*sorted(kept, key=_step), *last]


def with_lab(cluster: Cluster, objects: list[Object], rendered: list[Object]) -> list[Object]:
    """The objects, and of those `rendered` with lab the ones that `apply --lab-image` has made besides."""
    known = {label(obj) for obj in objects}
    return [*objects, *(obj for obj in rendered if label(obj) not in known and _is_applied(cluster, obj))]


def _is_applied(cluster: Cluster, obj: Object) -> bool:
    try:
        found = find(cluster, obj)
    except ClientError as error:
        if error.code in (ExitCode.CRD_MISSING, ExitCode.FORBIDDEN):
            return False
        raise
    managers = [entry.get("manager") for entry in (found or {}).get("metadata", {}).get("managedFields") or []]
    return FIELD_MANAGER in managers


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
                _wait_for_pods(cluster, namespace, objects, waited_for, deadline, report)
        gone = cluster.delete(obj)
        if gone or not bounds.is_budget(obj):
            yield label(obj), "deleted" if gone else "not there"


def _step(obj: Object) -> int:
    for step, kinds in enumerate(_STEPS):
        if obj["kind"] in kinds:
            return step
    return len(_STEPS) if obj["kind"] in CLUSTER_SCOPED else 3


def _wait_for_pods(
    cluster: Cluster,
    namespace: str,
    objects: list[Object],
    step: int,
    deadline: float,
    report: Callable[[str], None],
) -> None:
    """Wait until Ray's pods are gone before workloads are deleted, and all our pods before policies are."""
    if step not in (2, 3):
        return
    workloads = [obj for obj in objects if obj["kind"] in ("Deployment", "StatefulSet")] if step > 2 else []  # noqa: PLR2004
    while left := _left(cluster, namespace, workloads):
        if time.monotonic() > deadline:
            raise ClientError(ExitCode.NOT_READY, f"still there: {', '.join(left[:5])}; the same command goes on")
        report(f"waiting for {len(left)} to go: {', '.join(left[:5])}")
        time.sleep(_POLL_S)


def _left(cluster: Cluster, namespace: str, workloads: list[Object]) -> list[str]:
    """What remains of the RayService (itself, its clusters and pods), or pods of the workloads if there are any."""
    left = []
    try:
        for kind in ("RayService", "RayCluster") if not workloads else ():
            found = cluster.items(RAY_API, kind, namespace)
            left += [label(obj) for obj in found if obj["metadata"]["name"].startswith(RAY_SERVICE)]
    except ClientError as error:
        if error.code is not ExitCode.CRD_MISSING:
            raise
    for pod in cluster.items("v1", "Pod", namespace):
        if not _ended(pod) and (_is_rays(pod) or any(_is_of(pod, workload) for workload in workloads)):
            left.append(label(pod))
    return left


def _is_rays(pod: Object) -> bool:
    """Whether it is of a cluster of the RayService; jobs and other services have clusters of their own."""
    cluster = str((pod["metadata"].get("labels") or {}).get("ray.io/cluster") or "")
    return cluster.startswith(f"{RAY_SERVICE}-")


def _is_of(pod: Object, workload: Object) -> bool:
    """Whether the workload's selector matches the pod, and no other controller has made it."""
    meta = pod["metadata"]
    owners = [str(each["name"]) for each in meta.get("ownerReferences") or [] if each.get("controller")]
    name = workload["metadata"]["name"]
    ours = not owners or owners[0] == name or owners[0].startswith(f"{name}-")
    selector = workload["spec"]["selector"]["matchLabels"]
    return bool(ours and selector.items() <= (meta.get("labels") or {}).items())


def _ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
