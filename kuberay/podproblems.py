"""What is wrong with one pod, from its status and its events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from kuberay.errors import ExitCode
from kuberay.names import HEAD_INIT_CONTAINER, REDIS_INIT_CONTAINERS, Object

Finding = tuple[ExitCode, str, str]
"""Code, message, container."""
_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_REDIS_PATIENCE_S = 15
_HEAD_PATIENCE_S = 120


def find(pod: Object, events: list[Object], now: datetime) -> Iterator[Finding]:
    """At most one problem of each container, and those of the pod as a whole."""
    status = pod.get("status") or {}
    if status.get("phase") == "Pending":
        yield from _pending(status, events)
    started = status.get("initContainerStatuses") or []
    for container in started:
        yield from _initializing(container, now)
    for container in [*started, *(status.get("containerStatuses") or [])]:
        yield from _container(container, events)


def _pending(status: Object, events: list[Object]) -> Iterator[Finding]:
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield ExitCode.UNSCHEDULABLE, condition.get("message") or condition.get("reason", ""), ""
            return
    mounts = [event for event in events if event.get("reason") in {"FailedMount", "FailedAttachVolume"}]
    if mounts:
        yield ExitCode.CONTAINER_CONFIG, mounts[-1].get("message", ""), ""


def _initializing(container: Object, now: datetime) -> Iterator[Finding]:
    running = (container.get("state") or {}).get("running")
    if not running or not running.get("startedAt"):
        return
    name = container["name"]
    seconds = (now - datetime.fromisoformat(running["startedAt"])).total_seconds()
    if name in REDIS_INIT_CONTAINERS and seconds > _REDIS_PATIENCE_S:
        yield ExitCode.REDIS_WAIT, f"init container {name} has waited {seconds:.0f} s", name
    if name == HEAD_INIT_CONTAINER and seconds > _HEAD_PATIENCE_S:
        yield ExitCode.HEAD_WAIT, f"init container {name} has waited {seconds:.0f} s for the Ray head", name


def _container(container: Object, events: list[Object]) -> Iterator[Finding]:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, name = waiting.get("reason", ""), container["name"]
    if reason in _IMAGE_REASONS:
        message = waiting.get("message", "")
        failures = [
            event["message"] for event in events if event.get("reason") == "Failed" and "pull" in event["message"]
        ]
        if failures and message.startswith("Back-off"):  # the cause is in the event
            message = failures[-1]
        yield ExitCode.IMAGE_PULL, f"container {name}: {reason} {message or container.get('image', '')}", name
    elif reason in _CONFIG_REASONS:
        yield ExitCode.CONTAINER_CONFIG, f"container {name}: {reason} {waiting.get('message', '')}", name
    elif _crashes(container):
        ended = (container.get("lastState") or {}).get("terminated") or state.get("terminated") or {}
        count = f"{container.get('restartCount', 0)} restarts"
        how = f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode', 'unknown')}"
        hint = "; its memory limit is too low for it" if ended.get("reason") == "OOMKilled" else ""
        yield ExitCode.CRASH_LOOP, f"container {name}: {how}, {count}{hint}", name


def _crashes(container: Object) -> bool:
    state = container.get("state") or {}
    if (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff":
        return True
    failed = (state.get("terminated") or {}).get("exitCode", 0) != 0
    before = ((container.get("lastState") or {}).get("terminated") or {}).get("exitCode", 0) != 0
    return failed or (before and not container.get("ready") and "running" not in state)
