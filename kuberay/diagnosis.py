"""Why the service does not come up: problems found in a snapshot, causes before what follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kuberay import podproblems, rayservice, rollout
from kuberay.errors import ExitCode
from kuberay.names import Object, label
from kuberay.redact import redact_text
from kuberay.snapshot import Snapshot

TERMINAL = (ExitCode.VALIDATION_FAILED, ExitCode.INITIALIZING_TIMEOUT)
"""Nothing but a user's edit ends these, so waiting is pointless."""
_CAUSES_FIRST = (
    *TERMINAL,
    ExitCode.IMAGE_PULL,
    ExitCode.CONTAINER_CONFIG,
    ExitCode.CRASH_LOOP,
    ExitCode.UNSCHEDULABLE,
    ExitCode.SERVE_APPLICATION,
    ExitCode.ROLLOUT,
    ExitCode.REDIS_WAIT,
    ExitCode.HEAD_WAIT,
)
_FAILED_STATUSES = ("DEPLOY_FAILED", "UNHEALTHY")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    code: ExitCode
    subject: str
    """Kind/name."""
    message: str
    container: str = ""
    """Of a crash loop: whose log tells more."""
    lines: list[str] = field(default_factory=list)
    """The end of that log."""


def diagnose(snapshot: Snapshot) -> list[Problem]:
    """All problems of a snapshot, the likeliest cause first."""
    problems = [*_of_ray_service(snapshot), *_of_pods(snapshot), *_of_workloads(snapshot)]
    return sorted(problems, key=lambda problem: _CAUSES_FIRST.index(problem.code))


def _of_ray_service(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.ray_service is None:
        return
    state, subject = rayservice.read(snapshot.ray_service), label(snapshot.ray_service)
    if state.ready == "False" and state.reason == "ValidationFailed":
        yield Problem(ExitCode.VALIDATION_FAILED, subject, _line(state.message))
    if state.ready == "False" and state.reason == "InitializingTimeout":
        said = _line(state.message)
        hint = "edits do nothing now: `python -m kuberay delete`, then apply again"
        yield Problem(ExitCode.INITIALIZING_TIMEOUT, subject, f"{said}; {hint}")
    for application in state.applications:
        failed = {
            name: text for name, text in application.deployments.items() if text.partition(":")[0] in _FAILED_STATUSES
        }
        if application.status not in _FAILED_STATUSES and not failed:
            continue
        words = [": ".join(part for part in (application.status, application.message) if part)]
        words += [f"deployment {name} {text}" for name, text in failed.items()]
        yield Problem(ExitCode.SERVE_APPLICATION, f"Application/{application.name}", _line("; ".join(words)))


def _of_pods(snapshot: Snapshot) -> Iterator[Problem]:
    for pod in snapshot.pods:
        role = snapshot.role(pod)
        finished = (pod.get("status") or {}).get("phase") == "Succeeded"
        if role == "other" or finished or pod["metadata"].get("deletionTimestamp"):
            continue
        events = [event for event in snapshot.events if event["involvedObject"].get("name") == pod["metadata"]["name"]]
        for code, message, container in podproblems.find(pod, events, snapshot.taken):
            said = f"{message}; {_redis(snapshot)}" if code is ExitCode.REDIS_WAIT else message
            yield Problem(code, label(pod), _line(said), container)


def _of_workloads(snapshot: Snapshot) -> Iterator[Problem]:
    for workload in snapshot.workloads.values():
        if said := rollout.complaint(workload):
            yield Problem(ExitCode.ROLLOUT, label(workload), _line(said))


def _redis(snapshot: Snapshot) -> str:
    deployment: Object | None = snapshot.workloads.get("redis")
    if deployment is None:
        return "the namespace has no redis-deployment"
    state = rollout.read("redis", deployment)
    return f"{state.name} has {state.available} of {state.wanted} pods available"


def _line(text: str) -> str:
    return redact_text(" ".join(text.split()))
