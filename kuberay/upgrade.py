"""Takes over the bounds and the present size of the running RayService in an apply."""

from __future__ import annotations

import copy

from kuberay import bounds, rayservice, serveconfig
from kuberay.cluster import Cluster
from kuberay.names import RAY_API, Object

_COUNTS = ("replicas", "minReplicas", "maxReplicas", "scaleStrategy")
"""Fields that KubeRay ignores when it decides whether a new cluster is needed."""


def as_it_runs(wanted: Object, live: Object) -> Object:
    """The wanted RayService with the live one's number of workers and of initial replicas.

    Applied to a service that needs no new cluster, it makes only the wanted changes.
    """
    changed = copy.deepcopy(wanted)
    _set_counts(changed, _counts(live["spec"]["rayClusterConfig"]))
    text, now = str(changed["spec"].get("serveConfigV2") or ""), str(live["spec"].get("serveConfigV2") or "")
    if serveconfig.same(serveconfig.with_initial(now, None), text):
        changed["spec"]["serveConfigV2"] = now
    return changed


def as_large_as(cluster: Cluster, wanted: Object, live: Object) -> tuple[Object, int]:
    """The wanted RayService with a new cluster as large as the running one, and the number of workers.

    KubeRay does not count `replicas` as a change, and Serve starts with `initial_replicas`: without both the new
    cluster would get the whole load at its minimum size.
    """
    name = rayservice.read(live).active_cluster
    running = cluster.find(RAY_API, "RayCluster", name, live["metadata"].get("namespace")) if name else None
    if running is None:
        return wanted, 0
    changed = copy.deepcopy(wanted)
    _set_counts(changed, _counts(running["spec"]))
    workers = sum(_counts(changed["spec"]["rayClusterConfig"]).values())
    text = str(changed["spec"].get("serveConfigV2") or "")
    changed["spec"]["serveConfigV2"] = serveconfig.with_initial(text, workers)
    return changed, workers


def needs_new_cluster(before: Object, after: Object) -> bool:
    """Whether KubeRay makes a new cluster, by the objects before and after the apply."""
    return _without_counts(before) != _without_counts(after)


def _counts(spec: Object) -> dict[str, int]:
    groups = bounds.groups_of(spec).items()
    return {name: int(group.get("replicas") or group.get("minReplicas") or 0) for name, group in groups}


def _set_counts(ray_service: Object, counts: dict[str, int]) -> None:
    for name, group in bounds.groups_of(ray_service["spec"]["rayClusterConfig"]).items():
        if name in counts:
            minimum, maximum = int(group.get("minReplicas") or 0), int(group.get("maxReplicas") or counts[name])
            group["replicas"] = min(max(counts[name], minimum), maximum)


def _without_counts(ray_service: Object) -> Object:
    spec = copy.deepcopy(ray_service["spec"]["rayClusterConfig"])
    for group in spec.get("workerGroupSpecs") or []:
        for name in _COUNTS:
            group.pop(name, None)
    return dict(spec)
