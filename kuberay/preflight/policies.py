"""Checks that the cluster's network enforces NetworkPolicies: many accept them and do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay.cluster import Cluster
from kuberay.errors import ExitCode
from kuberay.names import Object
from kuberay.preflight.finding import Finding, Level

_ENFORCE = (
    "calico",
    "cilium",
    "antrea",
    "weave",
    "kube-router",
    "canal",
    "romana",
    "ovn",
    "kindnet",
    "netd",
    "azure-npm",
)
_DO_NOT = ("kube-flannel",)
_EKS = "aws-node"


def check(cluster: Cluster, objects: list[Object]) -> Iterator[Finding]:
    """Findings about the network plugin, recognized by its DaemonSet."""
    if not any(obj["kind"] == "NetworkPolicy" for obj in objects):
        return
    sets = {item["metadata"]["name"]: item for item in cluster.items("apps/v1", "DaemonSet", None)}
    if any(name.startswith(_ENFORCE) for name in sets):
        return
    if _EKS in sets:
        if not _eks_enforces(sets[_EKS]):
            hint = "docs/how-to/kubernetes.md has the command that switches it on"
            said = f"EKS' VPC CNI accepts NetworkPolicies and enforces none; {hint}"
            yield Finding(Level.WARNING, ExitCode.REJECTED, said)
    elif any(name.startswith(_DO_NOT) for name in sets):
        said = "flannel enforces no NetworkPolicies: all ports of all pods stay open to the cluster"
        yield Finding(Level.WARNING, ExitCode.REJECTED, said)
    else:
        said = "enforcement of NetworkPolicies: no network plugin that is known here"
        yield Finding(Level.UNKNOWN, ExitCode.REJECTED, said)


def _eks_enforces(daemon_set: Object) -> bool:
    containers = daemon_set["spec"]["template"]["spec"]["containers"]
    return any("--enable-network-policy=true" in (container.get("args") or []) for container in containers)
