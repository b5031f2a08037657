"""Checks that the VirtualService's gateway exists, and that the policy admits its pods."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay.cluster import Cluster
from kuberay.errors import ExitCode
from kuberay.names import Object
from kuberay.preflight.finding import Finding, Level

_POLICY = "from-gateway"


def check(cluster: Cluster, objects: list[Object]) -> Iterator[Finding]:
    """Findings about Istio's gateways."""
    for route in (obj for obj in objects if obj["kind"] == "VirtualService"):
        for name in route["spec"].get("gateways") or []:
            namespace, _, short = name.rpartition("/")
            if short == "mesh":
                continue
            found = cluster.find(route["apiVersion"], "Gateway", short, namespace or route["metadata"]["namespace"])
            if found is None:
                said = f"there is no Gateway {name}, so nobody outside reaches the service; --gateway names another"
                yield Finding(Level.WARNING, ExitCode.NOT_FOUND, said)
            elif (labels := found["spec"].get("selector") or {}) and not _admitted(objects, labels):
                seen = ", ".join(f"{key}={value}" for key, value in labels.items())
                said = f"the pods of Gateway {name} ({seen}) are not let in by NetworkPolicy/{_POLICY}"
                yield Finding(Level.WARNING, ExitCode.NOT_FOUND, f"{said}; docs/how-to/kubernetes.md says how")


def _admitted(objects: list[Object], labels: Object) -> bool:
    policies = [obj for obj in objects if obj["kind"] == "NetworkPolicy"]
    if not policies:
        return True
    peers = [
        peer.get("podSelector") or {}
        for policy in policies
        if policy["metadata"]["name"] == _POLICY
        for rule in policy["spec"].get("ingress") or []
        for peer in rule.get("from") or []
    ]
    return any((peer.get("matchLabels") or {}).items() <= labels.items() for peer in peers)
