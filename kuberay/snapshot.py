"""The service's objects in the cluster at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from kuberay import rayservice
from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import COURSE_DEPLOYMENT, DEPLOYMENTS, RAY_API, RAY_SERVICE, STATEFUL_SETS, Object


@dataclass(frozen=True)
class Snapshot:
    """The raw objects of the API server."""

    namespace: str
    ray_service: Object | None
    workloads: dict[str, Object]
    """Deployments and StatefulSets by role."""
    pods: list[Object]
    """Without the pods of former Ray clusters."""
    ray_clusters: list[Object] = field(default_factory=list)
    """The active one and the pending one; all if KubeRay names none."""
    events: list[Object] = field(default_factory=list)
    """Oldest first; empty if the caller may not read them."""
    taken: datetime = field(default_factory=lambda: datetime.now(UTC))

    def events_of(self, obj: Object) -> list[Object]:
        """The events of an object, oldest first."""
        wanted = (obj.get("kind"), obj["metadata"]["name"])
        return [
            event
            for event in self.events
            if ((of := event.get("involvedObject") or {}).get("kind"), of.get("name")) == wanted
        ]

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
    """Read it; NOT_FOUND if the service is not there, CRD_MISSING if the cluster cannot have it."""
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
    clusters = _that_count(cluster, ray_service, namespace)
    return Snapshot(
        namespace=namespace,
        ray_service=ray_service,
        workloads=workloads,
        pods=[pod for pod in cluster.items("v1", "Pod", namespace) if _counts(pod, clusters)],
        ray_clusters=[found for found in clusters.values() if found is not None],
        events=_events(cluster, namespace),
    )


def _that_count(cluster: Cluster, ray_service: Object | None, namespace: str) -> dict[str, Object | None]:
    """The Ray clusters that serve or will serve, by name; abandoned and replaced ones do not count."""
    if ray_service is None:
        return {}
    found = {item["metadata"]["name"]: item for item in readable(cluster, RAY_API, "RayCluster", namespace)}
    state = rayservice.read(ray_service)
    named = [name for name in (state.active_cluster, state.pending_cluster) if name]
    return {name: found.get(name) for name in named or found}


def _counts(pod: Object, clusters: dict[str, Object | None]) -> bool:
    name = (pod["metadata"].get("labels") or {}).get("ray.io/cluster")
    return name is None or not clusters or name in clusters


def _events(cluster: Cluster, namespace: str) -> list[Object]:
    return sorted(readable(cluster, "v1", "Event", namespace), key=when)


def when(event: Object) -> str:
    """The time of an event's last occurrence, as text that sorts."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def readable(cluster: Cluster, api_version: str, kind: str, namespace: str) -> list[Object]:
    """Objects that only help to explain; empty if the caller may not read them."""
    try:
        return cluster.items(api_version, kind, namespace)
    except ClientError as error:
        if error.code in {ExitCode.FORBIDDEN, ExitCode.CRD_MISSING}:
            return []
        raise
