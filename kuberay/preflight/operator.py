"""Checks that KubeRay's operator runs, and is new enough for every field of the RayService."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import RAY_API, Object, is_true
from kuberay.preflight.finding import Finding, Level

SELECTOR = "app.kubernetes.io/component=kuberay-operator"
"""The label that Helm's chart and the kustomization both give it."""
_OPEN = "x-kubernetes-preserve-unknown-fields"


def check(cluster: Cluster, objects: list[Object]) -> Iterator[Finding]:
    """Findings about the operator, if the overlay has a RayService."""
    services = [obj for obj in objects if obj["kind"] == "RayService"]
    if not services:
        return
    try:
        schemas = cluster.schema(RAY_API)
    except ClientError as error:
        yield Finding(Level.UNKNOWN, error.code, f"the fields of RayService: {error}")
    else:
        for service in services:
            if unknown := sorted(unknown_fields(service, schemas)):
                few = ", ".join(unknown[:3])
                said = f"KubeRay's operator is too old: its RayService has no {few}; version 1.7 has"
                yield Finding(Level.FAULT, ExitCode.OPERATOR, said)
    yield from _pods(cluster)


def unknown_fields(ray_service: Object, schemas: Object) -> set[str]:
    """The fields of the RayService, as dotted paths, that the schemas do not declare; none if they are too vague."""
    root = next((name for name in schemas if name.endswith(".v1.RayService") or name == "RayService"), None)
    return set(_unknown(ray_service, schemas[root], schemas, "")) if root else set()


def _unknown(value: Any, schema: Object, schemas: Object, path: str) -> Iterator[str]:
    schema = _resolved(schema, schemas)
    if isinstance(value, list):
        for item in value:
            yield from _unknown(item, schema.get("items") or {}, schemas, path)
    if not isinstance(value, dict) or schema.get(_OPEN) or "properties" not in schema:
        return  # a leaf, a map of any names, or anything at all
    for name, below in value.items():
        place = f"{path}.{name}" if path else name
        if name in schema["properties"]:
            yield from _unknown(below, schema["properties"][name], schemas, place)
        elif not schema.get("additionalProperties"):
            yield place


def _resolved(schema: Object, schemas: Object) -> Object:
    for part in schema.get("allOf") or []:
        schema = {**schema, **part}
    reference = schema.get("$ref", "")
    return dict(schemas.get(reference.rpartition("/")[2]) or {}) if reference else schema


def _pods(cluster: Cluster) -> Iterator[Finding]:
    try:
        pods = cluster.items("v1", "Pod", None, SELECTOR)
        hidden = not pods and not cluster.items("v1", "Pod", None)
    except ClientError as error:
        yield Finding(Level.UNKNOWN, error.code, f"KubeRay's operator: {error}")
        return
    if hidden:  # every cluster has some pods
        yield Finding(Level.UNKNOWN, ExitCode.OPERATOR, "KubeRay's operator: the cluster shows no pod at all")
        return
    if not any(is_true(pod, "Ready") for pod in pods):
        seen = "is not ready" if pods else f"runs nowhere: no pod has the label {SELECTOR}"
        said = f"KubeRay's operator {seen}; docs/how-to/kubernetes.md has the command that installs it"
        yield Finding(Level.WARNING, ExitCode.OPERATOR, said)
