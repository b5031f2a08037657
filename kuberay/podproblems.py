"""Finds a pod's problems in its status and its events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from kuberay.errors import ExitCode
from kuberay.names import AUTOSCALER, HEAD_INIT_CONTAINER, REDIS_INIT_CONTAINERS, Object

Finding = tuple[ExitCode, str, str]
"""Code, message, container."""
_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_STUCK = {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}
"""No volume, or no network: the container cannot be created."""
_REDIS_PATIENCE_S = 15
_MODEL_PATIENCE_S = 120
_HEAD_PATIENCE_S = 120


def find(pod: Object, events: list[Object], now: datetime) -> Iterator[Finding]:
    """At most one problem per container, and those of the pod as a whole."""
    status = pod.get("status") or {}
    if (lost := _lost(status)) or pod["metadata"].get("deletionTimestamp"):
        yield from lost
        return
    if status.get("phase") == "Pending":
        yield from _pending(status, events)
    started = status.get("initContainerStatuses") or []
    for container in started:
        yield from _initializing(container, now)
    for container in [*started, *(status.get("containerStatuses") or [])]:
        yield from _container(container, events)
    yield from _no_model(status, events, now)


def _lost(status: Object) -> list[Finding]:
    """Its node no longer answers, or the kubelet has evicted it."""
    reason = status.get("reason", "")
    if reason in {"Evicted", "NodeLost", "NodeShutdown", "Terminated", "Preempting", "OutOfmemory", "OutOfcpu"}:
        return [(ExitCode.CRASH_LOOP, f"{reason}: {status.get('message', '')}", "")]
    return []


def _pending(status: Object, events: list[Object]) -> Iterator[Finding]:
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            said = condition.get("message") or condition.get("reason", "")
            yield ExitCode.UNSCHEDULABLE, said + _unbound(said, events), ""
            return
    stuck = [event for event in events if event.get("reason") in _STUCK]
    if stuck:
        yield ExitCode.CONTAINER_CONFIG, said_of(stuck[-1]), ""


def _unbound(said: str, events: list[Object]) -> str:
    """The reason of a missing volume, which the scheduler does not know."""
    if "PersistentVolumeClaim" not in said:
        return ""
    claims = [event for event in events if (event.get("involvedObject") or {}).get("kind") == "PersistentVolumeClaim"]
    reasons = [event for event in claims if event.get("reason") in {"FailedBinding", "ProvisioningFailed"}]
    if not reasons:
        return "; is there a default StorageClass?"
    claim = reasons[-1]["involvedObject"].get("name", "")
    hint = (
        "; mark a StorageClass as default, or name one in the overlay"
        if "storage class" in said_of(reasons[-1])
        else ""
    )
    return f"; PersistentVolumeClaim/{claim}: {said_of(reasons[-1])}{hint}"


def _no_model(status: Object, events: list[Object], now: datetime) -> Iterator[Finding]:
    """A running worker whose model does not answer correctly, and which therefore gets no traffic."""
    refused = [event for event in events if "Startup probe failed" in said_of(event) and "503" in said_of(event)]
    for container in status.get("containerStatuses") or []:
        running = (container.get("state") or {}).get("running")
        if refused and running and not container.get("started", True):
            seconds = (now - datetime.fromisoformat(running["startedAt"])).total_seconds()
            if seconds > _MODEL_PATIENCE_S:
                said = f"/project/health has been 503 for {seconds:.0f} s: the model gives no right answer"
                yield ExitCode.SERVE_APPLICATION, f"container {container['name']}: {said}", container["name"]


def said_of(event: Object) -> str:
    """An event's message; empty if it has none."""
    return str(event.get("message") or event.get("reason") or "")


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
        failures = [said_of(event) for event in events if event.get("reason") == "Failed" and "pull" in said_of(event)]
        if failures and message.startswith("Back-off"):  # the cause is in the event
            message = failures[-1]
        yield ExitCode.IMAGE_PULL, f"container {name}: {reason} {message or container.get('image', '')}", name
    elif reason in _CONFIG_REASONS:
        yield ExitCode.CONTAINER_CONFIG, f"container {name}: {reason} {waiting.get('message', '')}", name
    elif name == AUTOSCALER and "terminated" in state:
        ended, code = state["terminated"].get("reason", "ended"), state["terminated"].get("exitCode", "unknown")
        hint = "KubeRay does not start it again and leaves the cluster alone until this pod is deleted and made anew"
        yield ExitCode.AUTOSCALER, f"container {name}: {ended}, exit code {code}; {hint}", name
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
