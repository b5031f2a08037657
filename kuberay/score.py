"""A RayJob that scores files on a Ray cluster of its own: its objects, and watching it."""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import RAY_API, Object, label
from kuberay.render import render

COMPONENT = Path(__file__).resolve().parent / "components" / "score-job"
DATA = "/data"
"""The path of the claim's volume in the head's pod, which reads the input and writes the output."""
SUBMITTER = "ray-job-submitter"
ENDED = ("Complete", "Failed", "ValidationFailed", "Suspended")
"""The values of `jobDeploymentStatus` of a job that does not go on by itself."""
POLL_S = 2.0
_NAME = "project-score"


def job_name(output: str) -> str:
    """The name of the job for an output: the same command finds the job that it began."""
    return f"{_NAME}-{hashlib.blake2b(output.encode(), digest_size=4).hexdigest()}"


def score_objects(
    source: str,
    output: str,
    options: Sequence[str],
    *,
    namespace: str,
    image: str,
    workers: int,
    claim: str | None = None,
    secret: str | None = None,
) -> list[Object]:
    """The job's objects.

    Args:
        source: the input, as the head's pod sees it.
        output: the output, likewise.
        options: further arguments of `python -m serve_app.score`.
        namespace: of the service.
        image: of all pods, with a tag other than latest or a digest.
        workers: pods that compute.
        claim: PersistentVolumeClaim to mount at DATA.
        secret: Secret whose keys become variables of the head's environment, such as an object store's credentials.
    """
    with tempfile.TemporaryDirectory(prefix="kuberay-") as folder:
        place = Path(folder).resolve()
        kustomization = {"namespace": namespace, "components": [os.path.relpath(COMPONENT, place)]}
        (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        objects = render(str(place))
    for obj in objects:
        if obj["kind"] == "RayJob":
            obj["metadata"]["name"] = job_name(output)
            _fill(obj["spec"], [source, output, "--address", "auto", *options], image, workers)
            head = obj["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
            _give(head, claim, secret)
    return objects


def watch(cluster: Cluster, namespace: str, name: str, timeout_s: float, say: Callable[[str], None]) -> None:
    """Say what changes until the job has ended well.

    Raises:
        ClientError: it failed, is gone, or has not ended within `timeout_s`; then it goes on by itself.
    """
    deadline = time.monotonic() + timeout_s
    said = line = ""
    while True:
        job = cluster.find(RAY_API, "RayJob", name, namespace)
        if job is None:
            raise ClientError(ExitCode.NOT_FOUND, f"RayJob/{name} is gone from {namespace}")
        words = state_in_words(job)
        if words != said:
            said = words
            say(f"{label(job)}: {words}")
        newest = _last_line(cluster, namespace, name)
        if newest and newest != line:
            line = newest
            say(f"  {line}")
        state = _state(job)
        if state == "Complete" and (job.get("status") or {}).get("jobStatus") == "SUCCEEDED":
            return
        if state in ENDED:
            raise ClientError(
                ExitCode.FAILED, f"{label(job)} has ended: {words}; the same command goes on from its parts"
            )
        if time.monotonic() >= deadline:
            raise ClientError(ExitCode.NOT_READY, f"{label(job)} has not ended within {timeout_s:.0f} s; it goes on")
        time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))


def state_in_words(job: Object) -> str:
    """The job's state in words."""
    status = job.get("status") or {}
    words = [_state(job) or "waits for KubeRay's operator", status.get("jobStatus"), status.get("reason")]
    message = (status.get("message") or "").strip().partition("\n")[0]
    return ", ".join(str(word) for word in [*words, message] if word)


def has_ended(job: Object) -> bool:
    """Whether a job does not go on by itself any more."""
    return _state(job) in ENDED


def _state(job: Object) -> str:
    return str((job.get("status") or {}).get("jobDeploymentStatus") or "")


def _fill(spec: Object, arguments: Sequence[str], image: str, workers: int) -> None:
    spec["entrypoint"] = shlex.join(["python", "-m", "serve_app.score", *arguments])
    cluster = spec["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    group |= {"replicas": workers, "minReplicas": workers, "maxReplicas": workers}
    for template in (spec["submitterPodTemplate"], cluster["headGroupSpec"]["template"], group["template"]):
        for container in template["spec"]["containers"]:
            container["image"] = image


def _give(head: Object, claim: str | None, secret: str | None) -> None:
    (container,) = head["containers"]
    if claim:
        head["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
        container["volumeMounts"].append({"name": "data", "mountPath": DATA})
    if secret:
        container["envFrom"] = [{"secretRef": {"name": secret}}]


def _last_line(cluster: Cluster, namespace: str, name: str) -> str:
    """The last line that the job has printed, by the pod that submitted it."""
    lines: list[str] = []
    for pod in cluster.items("v1", "Pod", namespace, f"job-name={name}"):
        try:
            lines = [*cluster.logs(pod["metadata"]["name"], namespace, SUBMITTER, tail=1)]
        except ClientError:  # it has not started yet
            continue
    return lines[-1] if lines else ""
