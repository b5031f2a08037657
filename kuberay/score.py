"""A RayJob that scores files on a Ray cluster of its own: its objects."""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import yaml

from kuberay.errors import ClientError, ExitCode
from kuberay.names import Object, label
from kuberay.render import render
from kuberay.templates import own_container

COMPONENT = Path(__file__).resolve().parent / "components" / "score-job"
DATA = "/data"
"""The path of the claim's volume in the head's pod, which reads the input and writes the output."""
_PLACING = ("imagePullSecrets", "nodeSelector", "tolerations")
_NAME = "project-score"


def job_name(output: str, claim: str | None = None) -> str:
    """The name of the job for an output, of a claim: the same command finds the job that it began."""
    place = f"{claim}:{output}" if claim else output
    return f"{_NAME}-{hashlib.blake2b(place.encode(), digest_size=4).hexdigest()}"


def check_place(name: str, place: str, claim: str | None) -> None:
    """Refuse a path that only the head's pod has, since what is written there goes with the pod.

    Raises:
        ClientError: it is neither a URL nor on the claim's volume.
    """
    if "://" in place and not place.startswith("file://"):
        return
    path = PurePosixPath(os.path.normpath(place.removeprefix("file://")))
    if not claim:
        raise ClientError(
            ExitCode.USAGE, f"{name} {place} is a path in a pod that is removed; use a URL, or --claim and {DATA}/..."
        )
    if not path.is_relative_to(DATA):
        raise ClientError(ExitCode.USAGE, f"{name} {place} is not on the volume of --claim, which is mounted at {DATA}")


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
    """The entrypoint, and the head's image and secrets; the claim is in the job's name."""
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
