"""Waits until the service is up, or until it is clear that it will not come up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode, Unreachable
from kuberay.problem import TERMINAL
from kuberay.snapshot import take
from kuberay.status import Status, summarize, with_logs

OPERATOR_LOOP_S = 2.0
"""KubeRay reads statuses before it submits an edited Serve config, so a state must last a loop longer."""


@dataclass(frozen=True)
class Patience:
    """Time limits of a wait, in seconds."""

    timeout_s: float = 1200.0
    problem_s: float = 300.0
    """A problem that lasts this long is final; nodes and images may take minutes."""
    settle_s: float = 2 * OPERATOR_LOOP_S
    poll_s: float = 2.0


def wait(
    cluster: Cluster, namespace: str, patience: Patience, report: Callable[[Status | None, str], None]
) -> tuple[Status | None, ExitCode]:
    """Poll until it is stably ready, a problem is terminal or lasts, or the time is up.

    Args:
        cluster: where.
        namespace: of the service.
        patience: how long.
        report: called after each poll with the status, or None if the connection is lost, and a note.

    Returns:
        the last status, with the logs of crash loops, and the code to exit with.
    """
    began = time.monotonic()
    cluster.give_up_at(began + patience.timeout_s)
    since: dict[tuple[ExitCode, str], float] = {}
    status: Status | None = None
    ready_since: float | None = None
    while True:
        lost = ""
        try:
            status = summarize(take(cluster, namespace))
        except Unreachable as error:
            lost, ready_since = str(error), None
        now = time.monotonic()
        if lost:
            report(None, f"{lost}; trying again")
        elif status is not None:
            report(status, "")
            since = {key: since.get(key, now) for key in ((item.code, item.subject) for item in status.problems)}
            ready_since = (now if ready_since is None else ready_since) if _is_up(status) else None
            if ready_since is not None and now - ready_since >= patience.settle_s:
                return status, ExitCode.OK
            if _is_hopeless(status, since, now, patience):
                return with_logs(cluster, status), status.code
        if now - began >= patience.timeout_s:
            return _out_of_time(cluster, status, lost=bool(lost))
        time.sleep(min(patience.poll_s, max(0.0, patience.timeout_s - (now - began))))


def _is_up(status: Status) -> bool:
    return status.code is ExitCode.OK


def _is_hopeless(status: Status, since: dict[tuple[ExitCode, str], float], now: float, patience: Patience) -> bool:
    if _is_up(status):
        return False
    terminal = [start for (code, _), start in since.items() if code in TERMINAL]
    if terminal:
        state = status.ray_service
        current = state is None or state.observed_generation == state.generation
        # the refusal may be of an older edit, until KubeRay has had time to read this one
        return current or now - min(terminal) > patience.settle_s
    return any(now - start >= patience.problem_s for start in since.values())


def _out_of_time(cluster: Cluster, status: Status | None, *, lost: bool) -> tuple[Status | None, ExitCode]:
    if lost or status is None:
        return status, ExitCode.CONNECTION_LOST
    try:
        return with_logs(cluster, status), status.code if not _is_up(status) else ExitCode.NOT_READY
    except ClientError:
        return status, status.code
