"""What the cluster holds of the service at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import COURSE_DEPLOYMENT, DEPLOYMENTS, RAY_API, RAY_SERVICE, STATEFUL_SETS, Object


@dataclass(frozen=True)
class Snapshot:
    """The raw objects, as the API server gave them."""

    namespace: str
    ray_service: Object | None
    workloads: dict[str, Object]
    """Deployments and StatefulSets by role."""
    pods: list[Object]
    events: list[Object] = field(default_factory=list)
    """Warnings only, oldest first."""
    taken: datetime = field(default_factory=lambda: datetime.now(UTC))

    def role(self, pod: Object) -> str:
        """The role of a pod: one of ROLES, or other."""
        labels = pod["metadata"].get("labels") or {}
        if labels.get("ray.io/node-type") in {"head", "worker"}:
            return str(labels["ray.io/node-type"])
        for role, workload in self.workloads.items():
            selector = workload["spec"]["selector"].get("matchLabels") or {}
            if selector and selector.items() <= labels.items():
                return role
        return "other"


def take(cluster: Cluster, namespace: str) -> Snapshot:
    """Read it; NOT_FOUND where nothing of the service is there, CRD_MISSING where it could not be."""
    missing: ClientError | None = None
    try:
        ray_service = cluster.find(RAY_API, "RayService", RAY_SERVICE, namespace)
    except ClientError as error:
        if error.code is not ExitCode.CRD_MISSING:
            raise
        ray_service, missing = None, error
    workloads: dict[str, Object] = {}
    for kind, names in (("Deployment", DEPLOYMENTS), ("StatefulSet", STATEFUL_SETS)):
        found = {item["metadata"]["name"]: item for item in cluster.items("apps/v1", kind, namespace)}
        workloads |= {role: found[name] for role, name in names.items() if name in found}
    if ray_service is None and "project" not in workloads:
        nothing = f"namespace {namespace} has no RayService {RAY_SERVICE} and no Deployment {COURSE_DEPLOYMENT}"
        raise missing or ClientError(ExitCode.NOT_FOUND, f"{nothing}; `python -m kuberay apply` brings them")
    return Snapshot(
        namespace=namespace,
        ray_service=ray_service,
        workloads=workloads,
        pods=cluster.items("v1", "Pod", namespace),
        events=_warnings(cluster, namespace),
    )


def _warnings(cluster: Cluster, namespace: str) -> list[Object]:
    try:
        events = cluster.items("v1", "Event", namespace)
    except ClientError as error:
        if error.code is ExitCode.FORBIDDEN:  # they only help to explain
            return []
        raise
    warnings = [event for event in events if event.get("type") == "Warning"]
    return sorted(warnings, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
