"""Watches a RayJob that scores files, and removes one that has ended."""

from __future__ import annotations

import time
from collections.abc import Callable

from kuberay.cluster import Cluster
from kuberay.diagnosis import diagnose
from kuberay.errors import ClientError, ExitCode, Unreachable
from kuberay.names import RAY_API, Object, label
from kuberay.problem import Problem
from kuberay.rayproblems import refused_pods_by_events
from kuberay.snapshot import Snapshot, readable, when

SUBMITTER = "ray-job-submitter"
ENDED = ("Complete", "Failed", "ValidationFailed", "Suspended")
"""The values of `jobDeploymentStatus` of a job that does not go on by itself."""
POLL_S = 2.0
LOST_S = 300.0
"""How long the API server may give no answer while the job is watched."""
PROBLEM_S = 300.0
"""How long a problem of the job's pods may last; nodes and images may take minutes."""
_GONE_POLL_S = 0.5


def watch(cluster: Cluster, namespace: str, name: str, timeout_s: float, say: Callable[[str], None]) -> None:
    """Say what changes until the job has ended well.

    Raises:
        ClientError: it failed, is gone, its pods have a problem that lasts, or it has not ended within `timeout_s`;
            then it goes on by itself.
    """
    deadline = time.monotonic() + timeout_s
    seen = _Seen(cluster, namespace, name, say)
    while True:
        if (job := seen.look(deadline)) is not None:
            status = job.get("status") or {}
            if _state(job) == "Complete" and status.get("jobStatus") == "SUCCEEDED":
                return
            if _state(job) in ENDED:
                words = state_in_words(job)
                raise ClientError(
                    ExitCode.FAILED, f"{label(job)} has ended: {words}; the same command goes on from its parts"
                )
            seen.raise_lasting(job)
            if time.monotonic() >= deadline:
                raise ClientError(
                    ExitCode.NOT_READY, f"{label(job)} has not ended within {timeout_s:.0f} s; it goes on"
                )
        time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))


class _Seen:
    """What has been said of a job, and since when its pods have had problems."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, say: Callable[[str], None]) -> None:
        self._cluster, self._namespace, self._name, self._say = cluster, namespace, name, say
        self._words = self._line = ""
        self._answered = time.monotonic()
        self._problems: dict[tuple[ExitCode, str], tuple[Problem, float]] = {}

    def look(self, deadline: float) -> Object | None:
        """The job, after what is new of it was said; None if the API server does not answer for a moment."""
        try:
            job = self._cluster.find(RAY_API, "RayJob", self._name, self._namespace)
            if job is None:
                raise ClientError(ExitCode.NOT_FOUND, f"RayJob/{self._name} is gone from {self._namespace}")
            self._report(job)
        except Unreachable as error:
            if time.monotonic() >= min(deadline, self._answered + LOST_S):
                raise ClientError(
                    ExitCode.CONNECTION_LOST, f"{error}; the job goes on, and the same command watches it"
                ) from None
            return None
        self._answered = time.monotonic()
        return job

    def raise_lasting(self, job: Object) -> None:
        """Raise an error if a problem has lasted too long; a job without room waits for the service's pods."""
        for problem, since in self._problems.values():
            if problem.code is not ExitCode.UNSCHEDULABLE and time.monotonic() >= since + PROBLEM_S:
                said = f"{problem.subject}: {problem.message}"
                raise ClientError(problem.code, f"{said}; {label(job)} stays: mend it, then run the same command again")

    def _report(self, job: Object) -> None:
        words = state_in_words(job)
        if words != self._words:
            self._say(f"{label(job)}: {words}")
        line = _last_line(self._cluster, self._namespace, self._name)
        if line and line != self._line:
            self._say(f"  {line}")
        self._words, self._line = words, line or self._line
        before, now = self._problems, time.monotonic()
        found = {(each.code, each.subject): each for each in _problems(self._cluster, self._namespace, job)}
        self._problems = {key: (each, before[key][1] if key in before else now) for key, each in found.items()}
        for key in found.keys() - before.keys():
            self._say(f"  {found[key].subject}: {found[key].message}")


def state_in_words(job: Object) -> str:
    """The job's state in words."""
    status = job.get("status") or {}
    words = [_state(job) or "waits for KubeRay's operator", status.get("jobStatus"), status.get("reason")]
    message = (status.get("message") or "").strip().partition("\n")[0]
    return ", ".join(str(word) for word in [*words, message] if word)


def has_ended(job: Object) -> bool:
    """Whether a job does not go on by itself any more."""
    return _state(job) in ENDED or bool(job["metadata"].get("deletionTimestamp"))


def remove(cluster: Cluster, job: Object, timeout_s: float = 120.0) -> None:
    """Delete a job and wait until it is gone; KubeRay first removes what belongs to it.

    Raises:
        ClientError: it is still there after `timeout_s`.
    """
    cluster.delete(job)
    meta, deadline = job["metadata"], time.monotonic() + timeout_s
    while (left := cluster.find(RAY_API, "RayJob", meta["name"], meta["namespace"])) is not None:
        if left["metadata"].get("uid") != meta.get("uid"):
            return
        if time.monotonic() >= deadline:
            raise ClientError(ExitCode.NOT_READY, f"{label(job)} is still being deleted; run the same command later")
        time.sleep(_GONE_POLL_S)


def _state(job: Object) -> str:
    return str((job.get("status") or {}).get("jobDeploymentStatus") or "")


def _problems(cluster: Cluster, namespace: str, job: Object) -> list[Problem]:
    """What keeps the pods of the job's Ray cluster from starting."""
    name = (job.get("status") or {}).get("rayClusterName")
    if not name:
        return []
    pods = cluster.items("v1", "Pod", namespace, f"ray.io/cluster={name}")
    events = sorted(readable(cluster, "v1", "Event", namespace), key=when)
    own = [event for event in events if (event.get("involvedObject") or {}).get("name", "").startswith(name)]
    snapshot = Snapshot(namespace, None, {}, pods, events=own)
    return [*diagnose(snapshot), *refused_pods_by_events(snapshot)]


def _last_line(cluster: Cluster, namespace: str, name: str) -> str:
    """The last line that the job has printed, by the pod that submitted it."""
    lines: list[str] = []
    for pod in cluster.items("v1", "Pod", namespace, f"job-name={name}"):
        try:
            lines = [*cluster.logs(pod["metadata"]["name"], namespace, SUBMITTER, tail=1)]
        except ClientError:  # it has not started yet
            continue
    return lines[-1] if lines else ""
