"""The names that the manifests give, and that the client looks for."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

RAY_SERVICE = "project-prediction"
COURSE_DEPLOYMENT = "project-api-deployment"
DEPLOYMENTS = {"project": COURSE_DEPLOYMENT, "lab": "lab-api-deployment", "redis": "redis-deployment"}
"""The Deployment of each role; where a RayService serves, `project` has none."""
STATEFUL_SETS = {"gcs-redis": "gcs-redis"}
"""Where Ray's own state outlives its head, if the overlay wants that."""
ROLES = ("head", "worker", *DEPLOYMENTS, *STATEFUL_SETS)
RAY_API = "ray.io/v1"
FIELD_MANAGER = "kuberay-client"
REDIS_INIT_CONTAINERS = ("init-verify-redis-service-dns", "init-verify-redis-ready")
HEAD_INIT_CONTAINER = "wait-gcs-ready"
AUTOSCALER = "autoscaler"
"""The container that KubeRay puts beside the head."""


def label(obj: Object) -> str:
    """The object as people write it: Pod/name."""
    return f"{obj.get('kind', '?')}/{obj.get('metadata', {}).get('name', '?')}"
