"""Finds problems of the RayService, its Ray clusters and their operator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from kuberay import rayservice
from kuberay.errors import ExitCode
from kuberay.names import Object, conditions, is_true, label
from kuberay.problem import Problem, line
from kuberay.snapshot import Snapshot, when

_FAILED_STATUSES = ("DEPLOY_FAILED", "UNHEALTHY")
_OPERATOR_PATIENCE_S = 15
"""The operator reconciles a new object within a second or two."""
_HEAD_PATIENCE_S = 10
"""Time from the head's first readiness until its dashboard answers the operator."""
_UNREACHABLE = re.compile(r'(?:Put|Get|Post|Delete) "?https?://|dial tcp|deadline exceeded|no such host|i/o timeout')
_TERMINATED = re.compile(r"ExitCode:(?P<code>\d+).*?Reason:(?P<reason>\w*)")
_REFUSED = ("FailedToCreateHeadPod", "FailedToCreateWorkerPod")
_SUBMITTED = "UpdatedServeApplications"


def find(snapshot: Snapshot) -> Iterator[Problem]:
    """Problems of the RayService, those that KubeRay reports, and those of the current Ray clusters."""
    service = snapshot.ray_service
    if service is None:
        return
    yield from _of_state(service)
    yield from _of_operator(snapshot, service)
    for cluster in snapshot.ray_clusters:
        yield from _refused_pods(snapshot, cluster)
        yield from _killed_workers(snapshot, cluster)
    if not snapshot.ray_clusters:
        yield from refused_pods_by_events(snapshot)


def _of_state(service: Object) -> Iterator[Problem]:
    state, subject = rayservice.read(service), label(service)
    if state.ready == "False" and state.reason == "ValidationFailed":
        yield Problem(ExitCode.VALIDATION_FAILED, subject, line(state.message))
    if state.ready == "False" and state.reason == "InitializingTimeout":
        hint = "edits do nothing now: `python -m kuberay delete`, then apply again"
        yield Problem(ExitCode.INITIALIZING_TIMEOUT, subject, f"{line(state.message)}; {hint}")
    for application in state.applications:
        failed = {
            name: text for name, text in application.deployments.items() if text.partition(":")[0] in _FAILED_STATUSES
        }
        if application.status not in _FAILED_STATUSES and not failed:
            continue
        words = [": ".join(part for part in (application.status, application.message) if part)]
        words += [f"deployment {name} {text}" for name, text in failed.items()]
        yield Problem(ExitCode.SERVE_APPLICATION, f"Application/{application.name}", line("; ".join(words)))


def _of_operator(snapshot: Snapshot, service: Object) -> Iterator[Problem]:
    """Problems of the operator: it does not run, ignores this namespace, or cannot reach the heads."""
    subject, state = label(service), rayservice.read(service)
    if state.observed_generation < state.generation:
        seconds = _age(_changed(service), snapshot.taken)
        if seconds is not None and seconds > _OPERATOR_PATIENCE_S:
            never = not service.get("status")
            said = "no operator has looked at it" if never else "the operator has not looked at its last change"
            hint = "is KubeRay's operator running, and does it watch this namespace?"
            yield Problem(ExitCode.OPERATOR, subject, f"{said} for {seconds:.0f} s; {hint}")
        return
    clusters = [name for name in (state.active_cluster, state.pending_cluster) if name]
    for name in clusters:
        said = _unreachable_head(snapshot, service, name)
        if said and _UNREACHABLE.search(said):
            hint = "does a NetworkPolicy keep it from port 8265 of the head?"
            yield Problem(
                ExitCode.OPERATOR, f"RayCluster/{name}", f"the operator cannot reach it: {line(said)}; {hint}"
            )
        elif said:
            yield Problem(ExitCode.SERVE_APPLICATION, f"RayCluster/{name}", line(said))


def _unreachable_head(snapshot: Snapshot, service: Object, cluster: str) -> str:
    """The operator's last failure to reach a head that is ready, unless it has succeeded since."""
    ready = _head_ready_since(snapshot, cluster)
    if ready is None:
        return ""
    about = [event for event in snapshot.events_of(service) if cluster in str(event.get("message", ""))]
    submitted = max((when(event) for event in about if event.get("reason") == _SUBMITTED), default="")
    failures = [
        event
        for event in about
        if event.get("type") == "Warning" and "Serve" in event.get("reason", "") and when(event) > submitted
    ]
    if not failures:
        return ""
    age = _age(ready, _parse(when(failures[-1])) or snapshot.taken) if ready else None
    if age is not None and age < _HEAD_PATIENCE_S:
        return ""
    said = str(failures[-1].get("message", ""))
    return said.partition("err: ")[2] or said


def _head_ready_since(snapshot: Snapshot, cluster: str) -> str | None:
    """The pod's time of readiness, empty if it has none; None while the head is not ready."""
    for pod in snapshot.pods:
        labels = pod["metadata"].get("labels") or {}
        if labels.get("ray.io/node-type") == "head" and labels.get("ray.io/cluster") == cluster:
            return str(conditions(pod)["Ready"].get("lastTransitionTime") or "") if is_true(pod, "Ready") else None
    return None


def _refused_pods(snapshot: Snapshot, cluster: Object) -> Iterator[Problem]:
    """A quota, LimitRange or PodSecurity refuses the pods, so that none can be examined."""
    if is_true(cluster, "ReplicaFailure"):
        refusal = conditions(cluster)["ReplicaFailure"]
        yield Problem(ExitCode.ROLLOUT, label(cluster), line(refusal.get("message") or refusal.get("reason", "")))
        return
    yield from _last_refusal(snapshot.events_of(cluster), label(cluster))


def refused_pods_by_events(snapshot: Snapshot) -> Iterator[Problem]:
    """The same if the Ray clusters cannot be read."""
    involved = [(event.get("involvedObject") or {}, event) for event in snapshot.events]
    for name in sorted({of.get("name", "") for of, _ in involved if of.get("kind") == "RayCluster"}):
        yield from _last_refusal([event for of, event in involved if of.get("name") == name], f"RayCluster/{name}")


def _last_refusal(events: list[Object], subject: str) -> Iterator[Problem]:
    refused = [event for event in events if event.get("reason") in _REFUSED]
    if refused:
        made = {"FailedToCreateHeadPod": "CreatedHeadPod", "FailedToCreateWorkerPod": "CreatedWorkerPod"}
        wanted = made[refused[-1]["reason"]]
        if not any(event.get("reason") == wanted and when(event) >= when(refused[-1]) for event in events):
            yield Problem(ExitCode.ROLLOUT, subject, line(refused[-1].get("message") or refused[-1]["reason"]))


def _killed_workers(snapshot: Snapshot, cluster: Object) -> Iterator[Problem]:
    """Workers that end are replaced under another name, without a restart, so only the cluster's events show it."""
    ends = [
        match
        for event in snapshot.events_of(cluster)
        if event.get("reason") == "DeletedWorkerPod" and (match := _TERMINATED.search(event.get("message") or ""))
    ]
    ends = [match for match in ends if match["code"] != "0"]
    if len(ends) > 1:
        reason = ends[-1]["reason"] or "ended"
        hint = "; their memory limit is too low for them" if reason == "OOMKilled" else ""
        said = f"{len(ends)} workers ended: {reason}, exit code {ends[-1]['code']}{hint}"
        yield Problem(ExitCode.CRASH_LOOP, label(cluster), said)


def _changed(service: Object) -> str:
    """The time of the last change by another manager than the status writer."""
    meta = service["metadata"]
    entries = meta.get("managedFields") or []
    times = [str(entry.get("time", "")) for entry in entries if entry.get("subresource") != "status"]
    return max([str(meta.get("creationTimestamp") or ""), *times])


def _age(time: str, now: datetime) -> float | None:
    parsed = _parse(time)
    return None if parsed is None else (now - parsed).total_seconds()


def _parse(time: str) -> datetime | None:
    try:
        return datetime.fromisoformat(time) if time else None
    except ValueError:
        return None
