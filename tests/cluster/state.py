"""Reading the service's state from plain objects, without the client's help."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
APPS = {"redis": "redis", "gcs-redis": "gcs-redis"}
"""Pods beside Ray's, by their label `app`."""


def is_ready(pod: Object) -> bool:
    """Whether it is Ready and stays."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def of_role(pods: list[Object], role: str, cluster: str = "") -> list[Object]:
    """Pods of a role, `head`, `worker`, `redis` or `gcs-redis`, those of one RayCluster if it is named."""

    def has(pod: Object) -> bool:
        labels = pod["metadata"].get("labels") or {}
        if role in APPS:
            return bool(labels.get("app") == APPS[role])
        return labels.get("ray.io/node-type") == role and cluster in ("", labels.get("ray.io/cluster"))

    return [pod for pod in pods if has(pod)]


def name_of(obj: Object) -> str:
    """Its name."""
    return str(obj["metadata"]["name"])


def active_cluster(ray_service: Object) -> str:
    """Name of the RayCluster that serves; empty before the first one does."""
    active = (ray_service.get("status") or {}).get("activeServiceStatus") or {}
    return str(active.get("rayClusterName") or "")


def unsettled(ray_service: Object, pods: list[Object], workers: int) -> str:
    """Why the service is not up with so many ready workers and no upgrade under way; empty if it is."""
    status = ray_service.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
    if conditions.get("Ready") != "True":
        return "the RayService is not Ready"
    if conditions.get("UpgradeInProgress") == "True":
        return "an upgrade is in progress"
    if int(status.get("observedGeneration") or 0) < int(ray_service["metadata"].get("generation") or 0):
        return "the operator has not looked at the last edit"
    cluster = active_cluster(ray_service)
    for role, wanted in (("head", 1), ("worker", workers), ("redis", 1), ("gcs-redis", 1)):
        ready = sum(map(is_ready, of_role(pods, role, cluster)))
        if ready < wanted:
            return f"{ready} of {wanted} {role} pods are ready"
    return ""


def other_images(pods: list[Object], cluster: str, image: str) -> list[str]:
    """Ray pods of that cluster that run another image, as `pod: image`."""
    ray = of_role(pods, "head", cluster) + of_role(pods, "worker", cluster)
    images = {name_of(pod): str(pod["spec"]["containers"][0]["image"]) for pod in ray}
    return [f"{name}: {found}" for name, found in sorted(images.items()) if found != image]
