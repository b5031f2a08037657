"""Reads the rollout of a Deployment or StatefulSet, as `kubectl rollout status` does."""

from __future__ import annotations

from dataclasses import dataclass

from kuberay.names import Object, conditions


@dataclass(frozen=True)
class Rollout:
    """The progress of a Deployment or StatefulSet."""

    kind: str
    role: str
    name: str
    wanted: int
    updated: int
    available: int
    ready: bool


def read(role: str, workload: Object) -> Rollout:
    """Ready: the newest generation is seen, every replica is of it and available, and no old one is left."""
    status = workload.get("status") or {}
    wanted = int(workload["spec"].get("replicas", 1))
    updated, available = int(status.get("updatedReplicas") or 0), int(status.get("availableReplicas") or 0)
    seen = int(status.get("observedGeneration", 0)) >= int(workload["metadata"].get("generation", 0))
    ready = seen and updated >= wanted and available >= wanted and int(status.get("replicas") or 0) <= updated
    return Rollout(workload["kind"], role, workload["metadata"]["name"], wanted, updated, available, ready)


def complaint(workload: Object) -> str:
    """The controller's reason why it does not progress; empty if it does."""
    for condition in conditions(workload).values():
        refused = condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        stuck = condition["type"] == "Progressing" and condition["status"] == "False"
        if refused or stuck:
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    return ""
