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
from kuberay.errors import ClientError, ExitCode, Unreachable
from kuberay.names import RAY_API, Object, label
from kuberay.render import render
from kuberay.templates import own_container

COMPONENT = Path(__file__).resolve().parent / "components" / "score-job"
DATA = "/data"
"""The path of the claim's volume in the head's pod, which reads the input and writes the output."""
SUBMITTER = "ray-job-submitter"
ENDED = ("Complete", "Failed", "ValidationFailed", "Suspended")
"""The values of `jobDeploymentStatus` of a job that does not go on by itself."""
POLL_S = 2.0
LOST_S = 300.0
"""How long the API server may give no answer while the job is watched."""
_GONE_POLL_S = 0.5
_PLACING = ("imagePullSecrets", "nodeSelector", "tolerations")
_NAME = "project-score"


def job_name(output: str, claim: str | None = None) -> str:
    """The name of the job for an output, of a claim: the same command finds the job that it began."""
    place = f"{claim}:{output}" if claim else output
    return f"{_NAME}-{hashlib.blake2b(place.encode(), digest_size=4).hexdigest()}"


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
    like: Object | None = None,
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
        like: spec of the service's pods, which says where they may run and how their image is pulled.
    """
    with tempfile.TemporaryDirectory(prefix="kuberay-") as folder:
        place = Path(folder).resolve()
        kustomization = {"namespace": namespace, "components": [os.path.relpath(COMPONENT, place)]}
        (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        objects = render(str(place))
    for obj in objects:
        if obj["kind"] == "RayJob":
            obj["metadata"]["name"] = job_name(output, claim)
            _fill(obj["spec"], [source, output, "--address", "auto", *options], image, workers)
            head = obj["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
            _give(head, claim, secret)
            for template in _templates(obj["spec"]):
                template["spec"] |= {name: like[name] for name in _PLACING if like and like.get(name)}
    return objects


def check_same(found: Object, wanted: list[Object]) -> None:
    """Refuse to watch a job that runs something else.

    Raises:
        ClientError: it has another input, option, image or secret.
    """
    (job,) = (obj for obj in wanted if obj["kind"] == "RayJob")
    if found.get("spec") and _settings(found) != _settings(job):
        meta = job["metadata"]
        raise ClientError(
            ExitCode.CONFLICT,
            f"{label(job)} writes the same output with another input, option, image or secret; wait until it has ended,"
            f" or end it: kubectl -n {meta['namespace']} delete rayjob {meta['name']}",
        )


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


def watch(cluster: Cluster, namespace: str, name: str, timeout_s: float, say: Callable[[str], None]) -> None:
    """Say what changes until the job has ended well.

    Raises:
        ClientError: it failed, is gone, or has not ended within `timeout_s`; then it goes on by itself.
    """
    deadline = time.monotonic() + timeout_s
    said = line = ""
    answered = time.monotonic()
    while True:
        try:
            job = cluster.find(RAY_API, "RayJob", name, namespace)
        except Unreachable as error:
            if time.monotonic() >= min(deadline, answered + LOST_S):
                raise ClientError(
                    ExitCode.CONNECTION_LOST, f"{error}; the job goes on, and the same command watches it"
                ) from None
            time.sleep(POLL_S)
            continue
        answered = time.monotonic()
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
    return _state(job) in ENDED or bool(job["metadata"].get("deletionTimestamp"))


def _state(job: Object) -> str:
    return str((job.get("status") or {}).get("jobDeploymentStatus") or "")


def _fill(spec: Object, arguments: Sequence[str], image: str, workers: int) -> None:
    spec["entrypoint"] = shlex.join(["python", "-m", "serve_app.score", *arguments])
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    group |= {"replicas": workers, "minReplicas": workers, "maxReplicas": workers}
    for template in _templates(spec):
        for container in template["spec"]["containers"]:
            container["image"] = image


def _templates(spec: Object) -> list[Object]:
    cluster = spec["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [spec["submitterPodTemplate"], *(group["template"] for group in groups)]


def _settings(job: Object) -> tuple[object, ...]:
    """The entrypoint, and the head's image, secret and claims."""
    spec = job["spec"]
    head = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    container = own_container(head)
    names = [each["secretRef"]["name"] for each in container.get("envFrom") or [] if "secretRef" in each]
    return spec["entrypoint"], container["image"], names


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
    try:
        pods = cluster.items("v1", "Pod", namespace, f"job-name={name}")
    except Unreachable:
        return ""
    for pod in pods:
        try:
            lines = [*cluster.logs(pod["metadata"]["name"], namespace, SUBMITTER, tail=1)]
        except ClientError:  # it has not started yet
            continue
    return lines[-1] if lines else ""
