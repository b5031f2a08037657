"""The command `python -m kuberay score`."""

from __future__ import annotations

from typing import Annotated

import typer

from kuberay.apply import apply as apply_objects
from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import COURSE_DEPLOYMENT, RAY_API, RAY_SERVICE, Object
from kuberay.options import Context, Image, Kubeconfig, Namespace, Overlay
from kuberay.redact import redact_text
from kuberay.render import check_images, namespace_of, render
from kuberay.score import check_place, check_same, job_name, score_objects
from kuberay.score_watch import has_ended, remove, watch
from kuberay.templates import own_container, templates

WORKER_CPUS = 2
"""Of each worker's pod, as the component has it."""


def score(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="As the job's head sees it: s3://... or /data/...")],
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Likewise; its ending names the format.")],
    column: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    workers: Annotated[int, typer.Option(min=1, max=1000, help="Pods that compute, each with two CPUs.")] = 2,
    claim: Annotated[str | None, typer.Option(help="PersistentVolumeClaim to mount at /data.")] = None,
    secret: Annotated[
        str | None, typer.Option(help="Secret whose keys become variables, such as AWS_ACCESS_KEY_ID.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until watching ends; the job goes on.")] = 86400.0,
    image: Image = None,
    overlay: Overlay = "local",
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Score files on a Ray cluster of the job's own, and watch it; the same command finds a job that runs."""
    check_place("INPUT", source, claim)
    check_place("OUTPUT", output, claim)
    objects = render(overlay, image, namespace=namespace)
    place, like = namespace_of(objects), _pod(objects)
    options = ["--column", column, "--workers", str(workers * WORKER_CPUS)]
    job = score_objects(
        source,
        output,
        options,
        namespace=place,
        image=own_container(like)["image"],
        workers=workers,
        claim=claim,
        secret=secret,
        like=like,
    )
    check_images([obj for obj in objects if obj["metadata"]["name"] in (RAY_SERVICE, COURSE_DEPLOYMENT)])
    name = job_name(output, claim)
    with Cluster(kubeconfig, context) as cluster:
        before = cluster.find(RAY_API, "RayJob", name, place)
        if before is not None and has_ended(before):
            remove(cluster, before)  # one that has ended runs no more; its parts are kept beside the output
            typer.echo(f"RayJob/{name} had ended, and begins again")
            before = None
        if before is not None:
            check_same(before, job)
        else:
            for label, outcome in apply_objects(cluster, job):
                typer.echo(f"{label} {outcome}")
        watch(cluster, place, name, timeout, typer.echo)
    typer.echo(redact_text(f"{output} is written"))


def _pod(objects: list[Object]) -> Object:
    """The spec of the service's first pod."""
    for obj, template, _ in templates(objects):
        if obj["metadata"]["name"] in (RAY_SERVICE, COURSE_DEPLOYMENT):
            return dict(template["spec"])
    raise ClientError(ExitCode.RENDER, f"the overlay has no {RAY_SERVICE} or {COURSE_DEPLOYMENT} whose image to take")
