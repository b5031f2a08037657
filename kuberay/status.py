"""The status in one stable shape, for people and for scripts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from kuberay import rayservice, rollout
from kuberay.cluster import Cluster
from kuberay.diagnosis import diagnose
from kuberay.errors import ClientError, ExitCode
from kuberay.names import is_true
from kuberay.problem import THOUGH_READY, Problem
from kuberay.rayservice import RayServiceState
from kuberay.rollout import Rollout
from kuberay.snapshot import Snapshot, take

SCHEMA = 1
_LOG_LINES = 12
_LOGS_OF = 3


@dataclass(frozen=True)
class PodState:
    """One pod."""

    name: str
    role: str
    phase: str
    ready: bool
    restarts: int
    node: str


@dataclass(frozen=True)
class Status:
    """Everything that `status` prints."""

    namespace: str
    ray_service: RayServiceState | None
    """None if a plain Deployment serves."""
    workloads: list[Rollout]
    pods: list[PodState]
    problems: list[Problem]

    @property
    def ready(self) -> bool:
        """The service is up, in the form that was last applied."""
        ray_ready = self.ray_service is None or self.ray_service.is_ready
        return ray_ready and all(workload.ready for workload in self.workloads)

    @property
    def code(self) -> ExitCode:
        """The exit code."""
        grave = [problem.code for problem in self.problems if not self.ready or problem.code in THOUGH_READY]
        return grave[0] if grave else ExitCode.OK if self.ready else ExitCode.NOT_READY

    def to_json(self) -> dict[str, Any]:
        """The status as JSON; docs/reference/kuberay-client.md describes its shape."""
        shape = {"schema": SCHEMA, "ready": self.ready, "exit_code": int(self.code), **dataclasses.asdict(self)}
        for problem, raw in zip(shape["problems"], self.problems, strict=True):
            problem["code"] = raw.code.name
        return shape


def summarize(snapshot: Snapshot) -> Status:
    """The status of a snapshot; crash loops are still without their log lines."""
    pods = sorted((_pod(snapshot, pod) for pod in snapshot.pods), key=lambda pod: (pod.role, pod.name))
    return Status(
        namespace=snapshot.namespace,
        ray_service=rayservice.read(snapshot.ray_service) if snapshot.ray_service else None,
        workloads=[rollout.read(role, workload) for role, workload in snapshot.workloads.items()],
        pods=[pod for pod in pods if pod.role != "other"],
        problems=diagnose(snapshot),
    )


def read_status(cluster: Cluster, namespace: str) -> Status:
    """The present status, with the last log lines of crash loops."""
    return with_logs(cluster, summarize(take(cluster, namespace)))


def with_logs(cluster: Cluster, status: Status) -> Status:
    """The status with the last log lines of the first few crash loops, if they can be read."""
    crashed = [problem for problem in status.problems if problem.code is ExitCode.CRASH_LOOP][:_LOGS_OF]
    problems = [
        dataclasses.replace(problem, lines=_last_lines(cluster, status.namespace, problem))
        if problem in crashed
        else problem
        for problem in status.problems
    ]
    return dataclasses.replace(status, problems=problems)


def _last_lines(cluster: Cluster, namespace: str, problem: Problem) -> list[str]:
    pod = problem.subject.partition("/")[2]
    for previous in (True, False):
        try:
            lines = list(cluster.logs(pod, namespace, problem.container, tail=_LOG_LINES, previous=previous))
        except ClientError:  # there may be no earlier run, or no right to read it
            continue
        if lines:
            return lines
    return []


def _pod(snapshot: Snapshot, pod: dict[str, Any]) -> PodState:
    status = pod.get("status") or {}
    return PodState(
        name=pod["metadata"]["name"],
        role=snapshot.role(pod),
        phase="Terminating" if pod["metadata"].get("deletionTimestamp") else status.get("phase", "Unknown"),
        ready=is_true(pod, "Ready"),
        restarts=sum(int(item.get("restartCount", 0)) for item in status.get("containerStatuses") or []),
        node=(pod.get("spec") or {}).get("nodeName", ""),
    )
