"""Finds the problems that keep the service from coming up in a snapshot, causes before effects."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay import podproblems, rayproblems, rollout
from kuberay.errors import ExitCode
from kuberay.names import Object, label
from kuberay.problem import Problem, in_order, line
from kuberay.snapshot import Snapshot


def diagnose(snapshot: Snapshot) -> list[Problem]:
    """All problems of a snapshot, the likeliest cause first."""
    return in_order([*rayproblems.find(snapshot), *_of_pods(snapshot), *_of_workloads(snapshot)])


def _of_pods(snapshot: Snapshot) -> Iterator[Problem]:
    for pod in snapshot.pods:
        if snapshot.role(pod) == "other" or _is_over(snapshot, pod):
            continue
        for code, message, container in podproblems.find(pod, _events(snapshot, pod), snapshot.taken):
            said = f"{message}; {_redis(snapshot)}" if code is ExitCode.REDIS_WAIT else message
            yield Problem(code, label(pod), line(said), container)


def _is_over(snapshot: Snapshot, pod: Object) -> bool:
    """Whether it has ended well, or has failed and there is a newer one: Kubernetes keeps evicted pods for days."""
    phase = (pod.get("status") or {}).get("phase")
    made = str(pod["metadata"].get("creationTimestamp") or "")
    later = (each for each in snapshot.pods if str(each["metadata"].get("creationTimestamp") or "") > made)
    role = snapshot.role(pod)
    return phase == "Succeeded" or (phase == "Failed" and any(snapshot.role(each) == role for each in later))


def _events(snapshot: Snapshot, pod: Object) -> list[Object]:
    """The events of the pod and of its volumes' claims."""
    volumes = (pod.get("spec") or {}).get("volumes") or []
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    owners = [pod, *({"kind": "PersistentVolumeClaim", "metadata": {"name": name}} for name in claims)]
    return [event for owner in owners for event in snapshot.events_of(owner)]


def _of_workloads(snapshot: Snapshot) -> Iterator[Problem]:
    for workload in snapshot.workloads.values():
        if said := rollout.complaint(workload):
            yield Problem(ExitCode.ROLLOUT, label(workload), line(said))


def _redis(snapshot: Snapshot) -> str:
    deployment: Object | None = snapshot.workloads.get("redis")
    if deployment is None:
        return "the namespace has no redis-deployment"
    state = rollout.read("redis", deployment)
    return f"{state.name} has {state.available} of {state.wanted} pods available"
