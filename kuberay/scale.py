"""Sets the bounds of workers or pods in all objects that determine them."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay import bounds, rayservice
from kuberay.apply import Outcome, apply_budget
from kuberay.bounds import Bounds
from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import COURSE_DEPLOYMENT, RAY_API, RAY_SERVICE, Object, label, pointer

_HPA_API = "autoscaling/v2"


def scale(cluster: Cluster, namespace: str, minimum: int, maximum: int, group: str | None) -> Iterator[Outcome]:
    """Set the bounds of the Ray workers, or of the plain Deployment's HPA; yield object and bounds.

    The RayService and its RayClusters are both patched: KubeRay ignores new bounds in the RayService alone, and the
    next upgrade would undo them in the RayCluster alone. Serve's bounds of deployments with one replica per worker
    follow, and so does the workers' PodDisruptionBudget. An annotation keeps the bounds.
    """
    if not 0 <= minimum <= maximum:
        raise ClientError(ExitCode.USAGE, f"the bounds {minimum} and {maximum} are wrong; 0 <= MIN <= MAX")
    wanted = Bounds(minimum, maximum)
    service = _ray_service(cluster, namespace)
    if service is None:
        yield _scale_hpa(cluster, namespace, wanted)
        return
    group = _group(service["spec"]["rayClusterConfig"], group)
    changed = bounds.with_bounds(service, {**bounds.of(service), group: wanted})
    state = rayservice.read(service)
    names = filter(None, (state.active_cluster, state.pending_cluster))
    clusters = [found for name in names if (found := cluster.find(RAY_API, "RayCluster", name, namespace))]
    text = {"op": "add", "path": "/spec/serveConfigV2", "value": changed["spec"].get("serveConfigV2") or ""}
    annotation = _annotate(service, changed["metadata"]["annotations"][bounds.ANNOTATION])
    edits = _group_operations(service["spec"]["rayClusterConfig"], "/spec/rayClusterConfig", group, wanted)
    with_group = [found for found in clusters if group in bounds.groups_of(found["spec"])]
    planned = [
        (service, [*edits, text, annotation]),
        *((found, _group_operations(found["spec"], "/spec", group, wanted)) for found in with_group),
    ]
    for obj, operations in planned:
        cluster.patch(obj, operations)
        yield label(obj), f"{wanted} workers"
    yield from apply_budget(cluster, changed)


def _ray_service(cluster: Cluster, namespace: str) -> Object | None:
    try:
        return cluster.find(RAY_API, "RayService", RAY_SERVICE, namespace)
    except ClientError as error:
        if error.code is ExitCode.CRD_MISSING:
            return None
        raise


def _group(spec: Object, group: str | None) -> str:
    names = list(bounds.groups_of(spec))
    if group is None and len(names) == 1:
        return names[0]
    if group not in names:
        raise ClientError(ExitCode.USAGE, f"name a worker group with --group; there are: {', '.join(names) or 'none'}")
    return group


def _group_operations(spec: Object, path: str, group: str, wanted: Bounds) -> list[Object]:
    index = list(bounds.groups_of(spec)).index(group)
    changed = dict(bounds.groups_of(spec)[group])
    bounds.bound_group(changed, wanted)
    place = f"{path}/workerGroupSpecs/{index}"
    return [
        {"op": "test", "path": f"{place}/groupName", "value": group},  # the list may have changed since it was read
        *(
            {"op": "add", "path": f"{place}/{name}", "value": changed[name]}
            for name in ("minReplicas", "maxReplicas", "replicas")
        ),
    ]


def _annotate(obj: Object, value: str) -> Object:
    if obj["metadata"].get("annotations"):
        return {"op": "add", "path": pointer("annotations", bounds.ANNOTATION), "value": value}
    return {"op": "add", "path": pointer("annotations"), "value": {bounds.ANNOTATION: value}}


def _scale_hpa(cluster: Cluster, namespace: str, wanted: Bounds) -> Outcome:
    for hpa in cluster.items(_HPA_API, "HorizontalPodAutoscaler", namespace):
        if hpa["spec"]["scaleTargetRef"]["name"] == COURSE_DEPLOYMENT:
            if wanted.minimum < 1:
                raise ClientError(ExitCode.USAGE, "an HPA keeps at least 1 pod")
            operations = [
                {"op": "add", "path": "/spec/minReplicas", "value": wanted.minimum},
                {"op": "add", "path": "/spec/maxReplicas", "value": wanted.maximum},
                _annotate(hpa, bounds.annotation({bounds.PODS: wanted})),
            ]
            cluster.patch(hpa, operations)
            return label(hpa), f"{wanted} pods"
    nothing = f"namespace {namespace} has no RayService {RAY_SERVICE} and no HPA of {COURSE_DEPLOYMENT}"
    raise ClientError(ExitCode.NOT_FOUND, nothing)
