"""Checks that the nodes have room for the pods, and for a second Ray cluster during an upgrade."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kuberay.cluster import Cluster
from kuberay.errors import ExitCode
from kuberay.names import Object
from kuberay.preflight.finding import Finding, Level
from kuberay.templates import templates

_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_UNITS |= {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_RESOURCES = ("cpu", "memory")
Amounts = dict[str, float]
"""CPUs, and bytes."""


def check(cluster: Cluster, objects: list[Object]) -> Iterator[Finding]:
    """Findings about room; they do not matter if the cluster can add nodes."""
    nodes = [node for node in cluster.items("v1", "Node", None) if not (node.get("spec") or {}).get("unschedulable")]
    if not nodes:
        yield Finding(Level.UNKNOWN, ExitCode.UNSCHEDULABLE, "room on the nodes: the cluster shows none")
        return
    pods = cluster.items("v1", "Pod", None)
    namespaces = {obj["metadata"].get("namespace") for obj in objects}
    others = [pod for pod in pods if pod["metadata"].get("namespace") not in namespaces and _runs(pod)]
    free = {name: sum(quantity(node["status"]["allocatable"][name]) for node in nodes) for name in _RESOURCES}
    for pod in others:
        for name, amount in requested(pod["spec"]).items():
            free[name] -= amount
    once, cluster_alone = needed(objects), needed([obj for obj in objects if obj["kind"] == "RayService"])
    twice = {name: once[name] + cluster_alone[name] for name in _RESOURCES}
    if short := _short(once, free):
        yield Finding(Level.WARNING, ExitCode.UNSCHEDULABLE, f"the pods ask for {short} that the nodes have free")
    elif cluster_alone["cpu"] and (short := _short(twice, free)):
        said = (
            f"an upgrade runs two Ray clusters and asks for {short} that the nodes have free; minikube: start --cpus 4"
        )
        yield Finding(Level.WARNING, ExitCode.UNSCHEDULABLE, said)


def needed(objects: list[Object]) -> Amounts:
    """The requests of all initial pods of the objects, the autoscaler beside a Ray head included."""
    total = dict.fromkeys(_RESOURCES, 0.0)
    for _, template, count in templates(objects):
        for name, amount in requested(template["spec"]).items():
            total[name] += count * amount
    for obj in objects:
        config = (obj.get("spec") or {}).get("rayClusterConfig") or {}
        if config.get("enableInTreeAutoscaling"):
            asked = ((config.get("autoscalerOptions") or {}).get("resources") or {}).get("requests") or {}
            for name in _RESOURCES:
                total[name] += quantity(asked.get(name, "0"))
    return total


def requested(pod_spec: Object) -> Amounts:
    """A pod's requests by the scheduler's rule: those of its containers, or of its largest init container."""

    def of(container: Object, name: str) -> float:
        return quantity(((container.get("resources") or {}).get("requests") or {}).get(name, "0"))

    return {
        name: max(
            [
                sum(of(container, name) for container in pod_spec.get("containers") or []),
                *(of(container, name) for container in pod_spec.get("initContainers") or []),
            ]
        )
        for name in _RESOURCES
    }


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: CPUs or bytes."""
    match = re.fullmatch(r"([\d.]+(?:[eE][+-]?\d+)?)([a-zA-Z]*)", str(text))
    return float(match[1]) * _UNITS.get(match[2], 1.0) if match else 0.0


def _short(wanted: Amounts, free: Amounts) -> str:
    words = []
    if wanted["cpu"] > free["cpu"]:
        words.append(f"{wanted['cpu']:.2f} CPUs, of {max(0.0, free['cpu']):.2f}")
    if wanted["memory"] > free["memory"]:
        words.append(f"{wanted['memory'] / 2**30:.1f} GiB, of {max(0.0, free['memory']) / 2**30:.1f}")
    return " and ".join(words)


def _runs(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
