"""Scaling, in the objects that decide."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay import rayservice
from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import COURSE_DEPLOYMENT, RAY_API, RAY_SERVICE, Object, label

_HPA_API = "autoscaling/v2"


def scale(cluster: Cluster, namespace: str, least: int, most: int, group: str | None) -> Iterator[tuple[str, str]]:
    """Set the bounds of the Ray workers, or of the HPA where a plain Deployment serves; yield object and bounds.

    The RayService and its RayClusters are both patched: KubeRay ignores new bounds in the RayService alone, and
    the next upgrade would undo them in the RayCluster alone.
    """
    if not 0 <= least <= most:
        raise ClientError(ExitCode.USAGE, f"the bounds {least} and {most} are wrong; 0 <= least <= most")
    service = _ray_service(cluster, namespace)
    if service is None:
        yield _scale_hpa(cluster, namespace, least, most)
        return
    state = rayservice.read(service)
    targets = [("RayService", RAY_SERVICE, service["spec"]["rayClusterConfig"], "/spec/rayClusterConfig")]
    for name in filter(None, (state.active_cluster, state.pending_cluster)):
        found = cluster.find(RAY_API, "RayCluster", name, namespace)
        if found is not None:
            targets.append(("RayCluster", name, found["spec"], "/spec"))
    planned = [(kind, name, _operations(spec, path, group, least, most)) for kind, name, spec, path in targets]
    for kind, name, operations in planned:
        cluster.patch(RAY_API, kind, name, namespace, operations)
        yield f"{kind}/{name}", f"{least} to {most} workers"


def _ray_service(cluster: Cluster, namespace: str) -> Object | None:
    try:
        return cluster.find(RAY_API, "RayService", RAY_SERVICE, namespace)
    except ClientError as error:
        if error.code is ExitCode.CRD_MISSING:
            return None
        raise


def _operations(spec: Object, path: str, group: str | None, least: int, most: int) -> list[Object]:
    groups = spec.get("workerGroupSpecs") or []
    names = [item["groupName"] for item in groups]
    if group is None and len(names) == 1:
        group = names[0]
    if group not in names:
        raise ClientError(ExitCode.USAGE, f"name a worker group with --group; there are: {', '.join(names) or 'none'}")
    index = names.index(group)
    place = f"{path}/workerGroupSpecs/{index}"
    current = int(groups[index].get("replicas", groups[index].get("minReplicas", 0)))
    return [
        {"op": "test", "path": f"{place}/groupName", "value": group},  # the list may have changed since it was read
        {"op": "add", "path": f"{place}/minReplicas", "value": least},
        {"op": "add", "path": f"{place}/maxReplicas", "value": most},
        {"op": "add", "path": f"{place}/replicas", "value": min(max(current, least), most)},
    ]


def _scale_hpa(cluster: Cluster, namespace: str, least: int, most: int) -> tuple[str, str]:
    for hpa in cluster.items(_HPA_API, "HorizontalPodAutoscaler", namespace):
        if hpa["spec"]["scaleTargetRef"]["name"] == COURSE_DEPLOYMENT:
            if least < 1:
                raise ClientError(ExitCode.USAGE, "an HPA keeps at least 1 pod")
            operations = [
                {"op": "add", "path": "/spec/minReplicas", "value": least},
                {"op": "add", "path": "/spec/maxReplicas", "value": most},
            ]
            cluster.patch(_HPA_API, "HorizontalPodAutoscaler", hpa["metadata"]["name"], namespace, operations)
            return label(hpa), f"{least} to {most} pods"
    nothing = f"namespace {namespace} has no RayService {RAY_SERVICE} and no HPA of {COURSE_DEPLOYMENT}"
    raise ClientError(ExitCode.NOT_FOUND, nothing)
