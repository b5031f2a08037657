"""Checks that the cluster knows the kinds, has the namespace, and lets the caller write them."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay.apply import CLUSTER_SCOPED, check_selector, find
from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import Object
from kuberay.preflight.finding import Finding, Level


def check(cluster: Cluster, objects: list[Object]) -> Iterator[Finding]:
    """Findings about kinds, namespace and rights."""
    yield from _namespace(cluster, objects)
    wanted = {(obj["apiVersion"], obj["kind"]): obj["metadata"].get("namespace") for obj in objects}
    unasked = 0
    for (api_version, kind), namespace in wanted.items():
        try:
            plural = cluster.plural(api_version, kind)
        except ClientError as error:
            if error.code is not ExitCode.CRD_MISSING:
                raise
            level = Level.WARNING if kind in CLUSTER_SCOPED else Level.FAULT
            yield Finding(level, error.code, str(error))
            continue
        try:
            allowed = cluster.may("patch", api_version, plural, namespace)
        except ClientError:
            unasked += 1
            continue
        if not allowed:
            where = f"in namespace {namespace}" if namespace else "of the cluster"
            level = Level.WARNING if kind in CLUSTER_SCOPED else Level.FAULT
            hint = "; it is left as it is" if kind in CLUSTER_SCOPED else ""
            yield Finding(level, ExitCode.FORBIDDEN, f"you may not patch {plural} {where}{hint}")
    if unasked:
        yield Finding(Level.UNKNOWN, ExitCode.FORBIDDEN, f"your rights on {unasked} kinds: the cluster does not tell")


def check_selectors(cluster: Cluster, objects: list[Object]) -> Iterator[Finding]:
    """Findings about workloads whose selector cannot be changed."""
    for obj in objects:
        if obj["kind"] in ("Deployment", "StatefulSet"):
            try:
                check_selector(obj, find(cluster, obj))
            except ClientError as error:
                if error.code is not ExitCode.REJECTED:
                    raise
                yield Finding(Level.FAULT, error.code, str(error))


def _namespace(cluster: Cluster, objects: list[Object]) -> Iterator[Finding]:
    if any(obj["kind"] == "Namespace" for obj in objects):
        return
    for name in sorted({obj["metadata"]["namespace"] for obj in objects if "namespace" in obj["metadata"]}):
        try:
            if cluster.find("v1", "Namespace", name, None) is None:
                hint = f"`kubectl create namespace {name}` makes it"
                yield Finding(Level.FAULT, ExitCode.NOT_FOUND, f"namespace {name} is not there; {hint}")
        except ClientError as error:
            if error.code is not ExitCode.FORBIDDEN:
                raise
            yield Finding(Level.UNKNOWN, error.code, f"namespace {name}: you may not read it")
