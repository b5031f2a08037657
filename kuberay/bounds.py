"""The bounds that `scale` sets: kept in an annotation, so that an apply does not turn them back."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass

from kuberay import serveconfig
from kuberay.names import RAY_SERVICE, Object, label

ANNOTATION = "kuberay-client/scale"
"""On the RayService or the HPA: JSON, `{"<worker group>": [least, most]}`; an HPA's one group is `pods`."""
PODS = "pods"
RAY_BUDGET = "project-prediction-workers"


@dataclass(frozen=True)
class Bounds:
    """Fewest and most of something."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least} to {self.most}"


def of(obj: Object | None) -> dict[str, Bounds]:
    """What `scale` has set on the object that the cluster holds, by worker group; nothing where it never did."""
    text = ((obj or {}).get("metadata", {}).get("annotations") or {}).get(ANNOTATION, "{}")
    try:
        return {str(group): Bounds(int(least), int(most)) for group, (least, most) in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def annotation(bounds: dict[str, Bounds]) -> str:
    """The annotation's value."""
    return json.dumps({group: [each.least, each.most] for group, each in bounds.items()})


def groups_of(cluster_spec: Object) -> dict[str, Object]:
    """The worker groups by name."""
    return {group["groupName"]: group for group in cluster_spec.get("workerGroupSpecs") or []}


def least_workers(cluster_spec: Object) -> int:
    """The fewest workers of all groups together."""
    return sum(int(group.get("minReplicas") or 0) for group in groups_of(cluster_spec).values())


def bound_group(group: Object, bounds: Bounds) -> None:
    """Set a worker group's bounds, and bring the number of now into them."""
    now = int(group.get("replicas") or group.get("minReplicas") or 0)
    group |= {"minReplicas": bounds.least, "maxReplicas": bounds.most}
    group["replicas"] = min(max(now, bounds.least), bounds.most)


def with_bounds(obj: Object, bounds: dict[str, Bounds]) -> Object:
    """A copy of a RayService or HPA with these bounds in all places that follow from them."""
    changed = copy.deepcopy(obj)
    if obj["kind"] == "HorizontalPodAutoscaler" and PODS in bounds:
        changed["spec"] |= {"minReplicas": bounds[PODS].least, "maxReplicas": bounds[PODS].most}
    if obj["kind"] == "RayService":
        groups = groups_of(changed["spec"]["rayClusterConfig"])
        kept = {name: each for name, each in bounds.items() if name in groups}
        for name, each in kept.items():
            bound_group(groups[name], each)
        if len(groups) == len(kept) == 1:
            (only,) = kept.values()
            text = changed["spec"].get("serveConfigV2") or ""
            changed["spec"]["serveConfigV2"] = serveconfig.with_bounds(text, only.least, only.most)
    changed["metadata"].setdefault("annotations", {})[ANNOTATION] = annotation(bounds)
    return changed


def budget(namespace: str | None, least: int) -> Object:
    """The workers' PodDisruptionBudget for this many workers at least: all but one stay.

    RayCluster has no scale subresource, so the budget cannot be a share or a `maxUnavailable`.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": RAY_BUDGET, "namespace": namespace},
        "spec": {
            "minAvailable": least - 1,
            "selector": {"matchLabels": {"app": RAY_SERVICE, "ray.io/node-type": "worker"}},
        },
    }


def is_budget(obj: Object) -> bool:
    """Whether it is the workers' PodDisruptionBudget."""
    return label(obj) == f"PodDisruptionBudget/{RAY_BUDGET}"
