"""Checks what a cluster lacks for an overlay before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import Object
from kuberay.preflight import gateway, kinds, operator, policies, room, secrets, storage
from kuberay.preflight.finding import Finding, Level

_CHECKS: tuple[tuple[str, Callable[[Cluster, list[Object]], Iterator[Finding]]], ...] = (
    ("kinds and rights", kinds.check),
    ("workloads of the same name", kinds.check_selectors),
    ("KubeRay's operator", operator.check),
    ("secrets", secrets.check),
    ("storage and metrics", storage.check),
    ("Istio's gateway", gateway.check),
    ("enforcement of NetworkPolicies", policies.check),
    ("room on the nodes", room.check),
)

__all__ = ["Finding", "Level", "check"]


def check(cluster: Cluster, objects: list[Object]) -> list[Finding]:
    """All findings, faults first; UNKNOWN if the caller may not read it or the cluster cannot say."""
    found: list[Finding] = []
    for subject, each in _CHECKS:
        try:
            found += each(cluster, objects)
        except ClientError as error:
            if error.code is ExitCode.NO_CLUSTER and not found:
                raise  # already the first check got no answer
            found.append(Finding(Level.UNKNOWN, error.code, f"{subject}: {error}"))
    return sorted(found, key=lambda finding: finding.level)
