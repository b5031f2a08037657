"""The names in the manifests, by which the client finds objects."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

RAY_SERVICE = "project-prediction"
COURSE_DEPLOYMENT = "project-api-deployment"
DEPLOYMENTS = {"project": COURSE_DEPLOYMENT, "lab": "lab-api-deployment", "redis": "redis-deployment"}
"""The Deployment of each role; with a RayService, `project` has none."""
STATEFUL_SETS = {"gcs-redis": "gcs-redis"}
"""Stores Ray's state beyond its head's life, if the overlay has it."""
ROLES = ("head", "worker", *DEPLOYMENTS, *STATEFUL_SETS)
RAY_API = "ray.io/v1"
FIELD_MANAGER = "kuberay-client"
REDIS_INIT_CONTAINERS = ("init-verify-redis-service-dns", "init-verify-redis-ready")
HEAD_INIT_CONTAINER = "wait-gcs-ready"
AUTOSCALER = "autoscaler"
"""The container that KubeRay adds to the head's pod."""


def label(obj: Object) -> str:
    """The object as Kind/name."""
    return f"{obj.get('kind', '?')}/{obj.get('metadata', {}).get('name', '?')}"


def conditions(obj: Object) -> dict[str, Object]:
    """The conditions in its status, by type."""
    return {item["type"]: item for item in (obj.get("status") or {}).get("conditions") or []}


def is_true(obj: Object, condition: str) -> bool:
    """Whether it has the condition with status True."""
    return bool(conditions(obj).get(condition, {}).get("status") == "True")


def pointer(*parts: str) -> str:
    """A JSON pointer to a field of metadata; the names may have slashes."""
    return "/".join(("/metadata", *(part.replace("~", "~0").replace("/", "~1") for part in parts)))
