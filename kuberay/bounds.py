"""The bounds that `scale` sets: kept in an annotation, so that an apply does not undo them."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass

from kuberay import serveconfig
from kuberay.names import RAY_SERVICE, Object, label

ANNOTATION = "kuberay-client/scale"
"""On the RayService or the HPA: JSON, `{"<worker group>": [min, max]}`; an HPA's one group is `pods`."""
PODS = "pods"
RAY_BUDGET = "project-prediction-workers"


@dataclass(frozen=True)
class Bounds:
    """A minimum and a maximum number, of workers or pods."""

    minimum: int
    maximum: int

    def __str__(self) -> str:
        return f"{self.minimum} to {self.maximum}"


def of(obj: Object | None) -> dict[str, Bounds]:
    """The bounds that `scale` has set on the cluster's object, by worker group; empty if it set none."""
    text = ((obj or {}).get("metadata", {}).get("annotations") or {}).get(ANNOTATION, "{}")
    try:
        return {
            str(group): Bounds(int(minimum), int(maximum)) for group, (minimum, maximum) in json.loads(text).items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def annotation(bounds: dict[str, Bounds]) -> str:
    """The annotation's value."""
    return json.dumps({group: [each.minimum, each.maximum] for group, each in bounds.items()})


def groups_of(cluster_spec: Object) -> dict[str, Object]:
    """The worker groups by name."""
    return {group["groupName"]: group for group in cluster_spec.get("workerGroupSpecs") or []}


def min_workers(cluster_spec: Object) -> int:
    """The sum of all groups' minimum workers."""
    return sum(int(group.get("minReplicas") or 0) for group in groups_of(cluster_spec).values())


def bound_group(group: Object, bounds: Bounds) -> None:
    """Set a worker group's bounds, and bring its present number of workers within them."""
    now = int(group.get("replicas") or group.get("minReplicas") or 0)
    group |= {"minReplicas": bounds.minimum, "maxReplicas": bounds.maximum}
    group["replicas"] = min(max(now, bounds.minimum), bounds.maximum)


def with_bounds(obj: Object, bounds: dict[str, Bounds]) -> Object:
    """A copy of a RayService or HPA with these bounds in all fields that depend on them."""
    changed = copy.deepcopy(obj)
    if obj["kind"] == "HorizontalPodAutoscaler" and PODS in bounds:
        changed["spec"] |= {"minReplicas": bounds[PODS].minimum, "maxReplicas": bounds[PODS].maximum}
    if obj["kind"] == "RayService":
        groups = groups_of(changed["spec"]["rayClusterConfig"])
        kept = {name: each for name, each in bounds.items() if name in groups}
        for name, each in kept.items():
            bound_group(groups[name], each)
        if len(groups) == len(kept) == 1:
            (only,) = kept.values()
            text = changed["spec"].get("serveConfigV2") or ""
            changed["spec"]["serveConfigV2"] = serveconfig.with_bounds(text, only.minimum, only.maximum)
    changed["metadata"].setdefault("annotations", {})[ANNOTATION] = annotation(bounds)
    return changed


def budget(namespace: str | None, minimum: int) -> Object:
    """The workers' PodDisruptionBudget for this minimum of workers: all but one stay.

    RayCluster has no scale subresource, so the budget cannot be a share or a `maxUnavailable`.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": RAY_BUDGET, "namespace": namespace},
        "spec": {
            "minAvailable": minimum - 1,
            "selector": {"matchLabels": {"app": RAY_SERVICE, "ray.io/node-type": "worker"}},
        },
    }


def is_budget(obj: Object) -> bool:
    """Whether it is the workers' PodDisruptionBudget."""
    return label(obj) == f"PodDisruptionBudget/{RAY_BUDGET}"
