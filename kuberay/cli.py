"""The commands of `python -m kuberay`."""

from __future__ import annotations

import functools
import json
import signal
import sys
from types import FrameType
from typing import Annotated, Literal

import typer
import yaml
from rich.console import Console
from rich.text import Text

from kuberay import logs as log_lines
from kuberay.apply import apply as apply_objects
from kuberay.cluster import Cluster
from kuberay.delete import delete as delete_objects
from kuberay.delete import to_delete, with_lab
from kuberay.digests import pin
from kuberay.errors import ClientError, ExitCode
from kuberay.names import Object, label
from kuberay.options import (
    FORCE,
    RESET_SCALE,
    Context,
    Gateway,
    Host,
    Image,
    Kubeconfig,
    LabImage,
    Namespace,
    Overlay,
    PinDigests,
    ProblemFor,
    Timeout,
)
from kuberay.preflight import Level
from kuberay.preflight import check as find_obstacles
from kuberay.redact import redact_object
from kuberay.render import check_images, check_route, namespace_of
from kuberay.render import render as render_objects
from kuberay.scale import scale as scale_objects
from kuberay.score_command import score
from kuberay.screen import Progress, show
from kuberay.status import read_status
from kuberay.wait import Patience
from kuberay.wait import wait as wait_until_up

_DEFAULTS = Patience()


class Interrupted(BaseException):
    """Ctrl-C, not handled by typer, which would exit with 1."""


app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Apply the manifests to a cluster, wait for the service, and say what is wrong when it does not come up.",
)


@app.command()
def render(
    overlay: Overlay = "local",
    image: Image = None,
    lab_image: LabImage = None,
    namespace: Namespace = None,
    host: Host = None,
    gateway: Gateway = None,
    show_secrets: Annotated[bool, typer.Option(help="Print the values of Secrets.")] = False,  # noqa: FBT002
) -> None:
    """Print the overlay's manifests, the values of Secrets replaced."""
    objects = render_objects(overlay, image, lab_image, namespace, host=host, gateway=gateway)
    shown = objects if show_secrets else [redact_object(obj) for obj in objects]
    typer.echo(yaml.safe_dump_all(shown, sort_keys=False), nl=False)
    if not show_secrets and any(obj["kind"] == "Secret" for obj in objects):
        typer.echo("note: the values of Secrets are replaced; to apply this output, use --show-secrets", err=True)


@app.command()
def preflight(
    overlay: Overlay = "local",
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Report what the cluster lacks for the overlay, and write nothing; `apply` checks the same first."""
    objects = render_objects(overlay, namespace=namespace)
    with Cluster(kubeconfig, context) as cluster:
        findings = find_obstacles(cluster, objects)
    for finding in findings:
        typer.echo(f"{finding.level.name.lower()}: {finding.message}")
    if not any(finding.level is not Level.UNKNOWN for finding in findings):
        typer.echo(f"{cluster.host} has all that the overlay {overlay} needs, as far as that can be checked")
    raise typer.Exit(next((finding.code for finding in findings if finding.level is Level.FAULT), ExitCode.OK))


@app.command()
def apply(
    overlay: Overlay = "local",
    image: Image = None,
    lab_image: LabImage = None,
    namespace: Namespace = None,
    host: Host = None,
    gateway: Gateway = None,
    dry_run: Annotated[bool, typer.Option(help="Ask the server what it would do.")] = False,  # noqa: FBT002
    force_conflicts: Annotated[bool, FORCE] = False,  # noqa: FBT002
    reset_scale: Annotated[bool, RESET_SCALE] = False,  # noqa: FBT002
    pin_digests: PinDigests = False,  # noqa: FBT002
    no_preflight: Annotated[bool, typer.Option("--no-preflight", help="Do not ask first.")] = False,  # noqa: FBT002
    wait: Annotated[bool, typer.Option("--wait", help="Then wait as `wait` does.")] = False,  # noqa: FBT002
    timeout: Timeout = _DEFAULTS.timeout_s,
    problem_for: ProblemFor = _DEFAULTS.problem_s,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Apply the overlay, server-side: the same command twice changes nothing the second time."""
    objects = render_objects(overlay, image, lab_image, namespace, host=host, gateway=gateway)
    check_images(objects)
    if pin_digests and (doubt := pin(objects, {image or "", lab_image or ""})):
        typer.echo(f"warning: {doubt}", err=True)
    place = namespace_of(objects)
    unrouted = check_route(objects, host, gateway)
    objects = [obj for obj in objects if not (unrouted and obj["kind"] == "VirtualService")]
    with Cluster(kubeconfig, context) as cluster:
        if not no_preflight:
            _preflight(cluster, objects)
        outcomes = apply_objects(cluster, objects, force=force_conflicts, dry_run=dry_run, reset_scale=reset_scale)
        for name, outcome in outcomes:
            typer.echo(f"{name} {outcome}{' (dry run)' if dry_run else ''}")
        if unrouted:
            raise ClientError(ExitCode.USAGE, f"{unrouted}; the rest is applied")
        if wait and not dry_run:
            _wait(cluster, place, Patience(timeout, problem_for))


@app.command()
def status(
    overlay: Overlay = "local",
    namespace: Namespace = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,  # noqa: FBT002
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Report whether the service is up and what is wrong; the exit code says it too."""
    place = _place(overlay, namespace)
    with Cluster(kubeconfig, context) as cluster:
        now = read_status(cluster, place)
    if as_json:
        typer.echo(json.dumps(now.to_json(), indent=2))
    else:
        Console(highlight=False).print(show(now))
    raise typer.Exit(now.code)


@app.command()
def wait(
    overlay: Overlay = "local",
    namespace: Namespace = None,
    timeout: Timeout = _DEFAULTS.timeout_s,
    problem_for: ProblemFor = _DEFAULTS.problem_s,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Wait until the service is up in the form last applied, or say why it does not come up."""
    place = _place(overlay, namespace)
    with Cluster(kubeconfig, context) as cluster:
        _wait(cluster, place, Patience(timeout, problem_for))


@app.command()
def scale(
    minimum: Annotated[int, typer.Argument(metavar="MIN", help="Min workers.")],
    maximum: Annotated[int | None, typer.Argument(metavar="[MAX]", help="Max workers; default MIN.")] = None,
    group: Annotated[str | None, typer.Option(help="Worker group, if there are several.")] = None,
    overlay: Overlay = "local",
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Set how many Ray workers there are, in the RayService and in its RayClusters; in course, the HPA's pods."""
    place = _place(overlay, namespace)
    with Cluster(kubeconfig, context) as cluster:
        for name, outcome in scale_objects(cluster, place, minimum, minimum if maximum is None else maximum, group):
            typer.echo(f"{name} {outcome}")


@app.command()
def logs(
    role: Annotated[Literal["head", "worker", "project", "lab", "redis", "gcs-redis"] | None, typer.Argument()] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,  # noqa: FBT002
    previous: Annotated[bool, typer.Option(help="Of the run before the last restart.")] = False,  # noqa: FBT002
    tail: Annotated[int, typer.Option(min=0, help="Lines of each pod to begin with.")] = 100,
    overlay: Overlay = "local",
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Print log lines of the service's pods; anything that looks like a credential is replaced."""
    if follow and previous:
        raise ClientError(ExitCode.USAGE, "--follow and --previous exclude each other")
    place = _place(overlay, namespace)
    with Cluster(kubeconfig, context) as cluster:
        found = log_lines.follow(cluster, place, role, tail) if follow else None
        for pod, line in found or log_lines.read(cluster, place, role, tail, previous=previous):
            typer.echo(f"[{pod}] {line}")


@app.command()
def delete(
    overlay: Overlay = "local",
    namespace: Namespace = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002
    namespace_too: Annotated[  # noqa: FBT002
        bool, typer.Option("--namespace-too", help="Delete the namespace as well, with all that is in it.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Until the pods are gone; policies go last.")] = True,  # noqa: FBT002
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until `--wait` gives up.")] = 300.0,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Delete the overlay's objects, after asking; the namespace stays without --namespace-too."""
    objects = render_objects(overlay, namespace=namespace)
    lab = render_objects(overlay, lab_image="lab:any", namespace=namespace)
    with Cluster(kubeconfig, context) as cluster:
        going = to_delete(with_lab(cluster, objects, lab), namespace_too=namespace_too)
        if not yes:
            if not sys.stdin.isatty():
                raise ClientError(ExitCode.USAGE, "delete asks first, and there is no terminal to ask on; use --yes")
            typer.echo("\n".join(label(obj) for obj in going))
            typer.confirm(f"Delete these {len(going)} objects on {cluster.host}?", abort=True)
        report = functools.partial(typer.echo, err=True)
        for name, outcome in delete_objects(cluster, going, wait_s=timeout if wait else 0.0, report=report):
            typer.echo(f"{name} {outcome}")


app.command()(score)


def main(arguments: list[str]) -> int:
    """Run one command; the exit code is an ExitCode, and a user's mistake is one line on stderr."""
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        app(arguments, prog_name="python -m kuberay")
    except ClientError as error:
        typer.echo(f"error: {error}", err=True)
        return error.code
    except Interrupted:
        typer.echo("interrupted; the cluster goes on by itself, `python -m kuberay status` looks again", err=True)
        return ExitCode.INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK
    finally:
        signal.signal(signal.SIGINT, before)
    return ExitCode.OK


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted


def _preflight(cluster: Cluster, objects: list[Object]) -> None:
    """Print the findings, and raise the first certain fault."""
    for finding in find_obstacles(cluster, objects):
        if finding.level is Level.FAULT:
            raise ClientError(
                finding.code, f"{finding.message}; nothing was applied (--no-preflight tries all the same)"
            )
        if finding.level is Level.WARNING:
            typer.echo(f"warning: {finding.message}", err=True)


def _place(overlay: str, namespace: str | None) -> str:
    return namespace or namespace_of(render_objects(overlay))


def _wait(cluster: Cluster, namespace: str, patience: Patience) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    with Progress(console) as progress:
        last, code = wait_until_up(cluster, namespace, patience, progress.update)
    if last is not None:
        console.print(show(last))
    if code is ExitCode.CONNECTION_LOST:
        console.print(
            Text(f"error: the API server {cluster.host} stopped answering; what is shown is the last it said")
        )
    elif code is ExitCode.NOT_READY:
        console.print(Text(f"error: not up within {patience.timeout_s:.0f} s"))
    if code:
        raise typer.Exit(code)
