"""What the API server has: its kinds, the objects, the requests that came, and how it refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.kubernetes_objects import Object

KINDS = {
    # group/version: {plural: (kind, namespaced)}
    "v1": {
        "namespaces": ("Namespace", False),
        "configmaps": ("ConfigMap", True),
        "secrets": ("Secret", True),
        "services": ("Service", True),
        "pods": ("Pod", True),
        "events": ("Event", True),
        "resourcequotas": ("ResourceQuota", True),
        "nodes": ("Node", False),
        "persistentvolumeclaims": ("PersistentVolumeClaim", True),
    },
    "apps/v1": {
        "deployments": ("Deployment", True),
        "statefulsets": ("StatefulSet", True),
        "daemonsets": ("DaemonSet", True),
    },
    "autoscaling/v2": {"horizontalpodautoscalers": ("HorizontalPodAutoscaler", True)},
    "monitoring.coreos.com/v1": {"podmonitors": ("PodMonitor", True), "prometheusrules": ("PrometheusRule", True)},
    "metrics.k8s.io/v1beta1": {"pods": ("PodMetrics", True)},
    "networking.istio.io/v1beta1": {"virtualservices": ("VirtualService", True), "gateways": ("Gateway", True)},
    "networking.k8s.io/v1": {"networkpolicies": ("NetworkPolicy", True)},
    "policy/v1": {"poddisruptionbudgets": ("PodDisruptionBudget", True)},
    "scheduling.k8s.io/v1": {"priorityclasses": ("PriorityClass", False)},
    "storage.k8s.io/v1": {"storageclasses": ("StorageClass", False)},
    "ray.io/v1": {
        "rayservices": ("RayService", True),
        "rayclusters": ("RayCluster", True),
        "rayjobs": ("RayJob", True),
    },
}


@dataclass(frozen=True)
class Request:
    """One request, as it came."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: Any = None


@dataclass
class Refusal:
    """An answer in place of the usual one, to requests that match."""

    matches: Callable[[Request], bool]
    status: int
    body: Object
    times: int = 1_000_000


@dataclass(frozen=True)
class Place:
    """What a path names."""

    api_version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass
class State:
    kinds: dict[str, dict[str, tuple[str, bool]]] = field(default_factory=lambda: copy.deepcopy(KINDS))
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    """By plural, namespace, name."""
    logs: dict[tuple[str, str, bool], str] = field(default_factory=dict)
    """By pod, container, previous."""
    owned: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By name: a top-level field of spec, and the other manager that owns it."""
    requests: list[Request] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    """Verb and resource that the caller has no right to, by SelfSubjectAccessReview; `refusals` make it so."""
    schemas: Object | None = None
    """The OpenAPI schemas of ray.io/v1, where the server tells them."""
    drop: int = 0
    """How many of the next requests get no answer at all."""
    version: int = 1000


def failure(code: int, message: str, reason: str, **details: Any) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }


class Refused(Exception):
    def __init__(self, code: int, message: str, reason: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body = failure(code, message, reason, **details)
