"""Server-side apply of a rendered overlay, dependencies first."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from kuberay import bounds, ownership, upgrade
from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import Object, label, pointer

_FIRST = (
    "Namespace",
    "PriorityClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Service",
)
"""Namespace, config, services, then the rest; policies come before the pods that they protect."""
CLUSTER_SCOPED = ("Namespace", "PriorityClass")
Outcome = tuple[str, str]
"""An object's label, and the result of its apply."""


def in_order(objects: list[Object]) -> list[Object]:
    """The objects in the order to apply."""
    return sorted(objects, key=lambda obj: _FIRST.index(obj["kind"]) if obj["kind"] in _FIRST else len(_FIRST))


def apply(
    cluster: Cluster, objects: list[Object], *, force: bool = False, dry_run: bool = False, reset_scale: bool = False
) -> Iterator[Outcome]:
    """Apply each object and yield its label with created, configured, unchanged or a remark.

    If it stops at an error, earlier objects stay applied; the same command continues from there.
    """
    has_budget = any(map(bounds.is_budget, objects))
    for obj in in_order(objects):
        if bounds.is_budget(obj):
            continue  # it is derived from the RayService's bounds
        try:
            before = find(cluster, obj)
            check_selector(obj, before)
            wanted = yield from _with_kept(cluster, obj, before, dry_run=dry_run, reset_scale=reset_scale)
            if obj["kind"] == "RayService":
                if has_budget or bounds.of(before):
                    yield from apply_budget(cluster, wanted, dry_run=dry_run)
                wanted = yield from _sized(cluster, wanted, before, force=force)
            yield label(obj), _apply(cluster, wanted, before, force=force, dry_run=dry_run)
        except ClientError as error:
            if obj["kind"] not in CLUSTER_SCOPED or error.code not in (ExitCode.FORBIDDEN, ExitCode.CRD_MISSING):
                raise
            # an admin owns a namespace that an admin has made
            yield label(obj), f"left as it is: {error}"


def apply_budget(cluster: Cluster, ray_service: Object, *, dry_run: bool = False) -> Iterator[Outcome]:
    """Fit the workers' PodDisruptionBudget to the bounds of the RayService, if that is allowed."""
    minimum = bounds.min_workers(ray_service["spec"]["rayClusterConfig"])
    obj = bounds.budget(ray_service["metadata"].get("namespace"), minimum)
    try:
        before = find(cluster, obj)
        if minimum > 1:
            yield label(obj), _apply(cluster, obj, before, force=True, dry_run=dry_run)
        elif before is not None:
            # with one worker it would block every drain of that worker's node
            gone = dry_run or cluster.delete(obj)
            yield label(obj), "deleted" if gone else "not there"
    except ClientError as error:
        if error.code not in (ExitCode.FORBIDDEN, ExitCode.NOT_FOUND):
            raise
        yield label(obj), f"left as it is: {error}"


def find(cluster: Cluster, obj: Object) -> Object | None:
    """The cluster's object of this kind and name, or None."""
    meta = obj["metadata"]
    return cluster.find(obj["apiVersion"], obj["kind"], meta["name"], meta.get("namespace"))


def check_selector(obj: Object, before: Object | None) -> None:
    """Refuse to apply a workload whose selector differs from the cluster's: Kubernetes never changes a selector."""
    if before is None or obj["kind"] not in ("Deployment", "StatefulSet"):
        return
    held, wanted = before["spec"].get("selector"), obj["spec"]["selector"]
    if held != wanted:
        labels = (held or {}).get("matchLabels") or held
        there = f"{label(obj)} is there with another selector, {labels}, which cannot be changed"
        meta = obj["metadata"]
        command = f"kubectl -n {meta.get('namespace')} delete {obj['kind'].lower()} {meta['name']}"
        raise ClientError(ExitCode.REJECTED, f"{there}: `{command}` first, or take another --namespace")


def _with_kept(
    cluster: Cluster, obj: Object, before: Object | None, *, dry_run: bool, reset_scale: bool
) -> Generator[Outcome, None, Object]:
    """The object with the bounds that `scale` set on the cluster's one, unless they are to be reset."""
    kept = bounds.of(before)
    if before is None or not kept:
        return obj
    if reset_scale:
        _forget_bounds(cluster, before, dry_run=dry_run)
        return obj
    said = ", ".join(f"{each} ({group})" for group, each in kept.items())
    yield label(obj), f"keeps {said}, as `scale` set them; --reset-scale takes the overlay's"
    return bounds.with_bounds(obj, kept)


def _sized(cluster: Cluster, wanted: Object, live: Object | None, *, force: bool) -> Generator[Outcome, None, Object]:
    """The RayService with the size of the running one."""
    if live is None:
        return wanted
    same = upgrade.as_it_runs(wanted, live)
    would_be = ownership.apply(cluster, same, live, force=force, dry_run=True)
    if not upgrade.needs_new_cluster(live, would_be):
        return same
    sized, workers = upgrade.as_large_as(cluster, wanted, live)
    if workers:
        yield label(wanted), f"gets a new Ray cluster of {workers} workers, as many as run now"
    return sized


def _forget_bounds(cluster: Cluster, obj: Object, *, dry_run: bool) -> None:
    if not dry_run:
        cluster.patch(obj, [{"op": "remove", "path": pointer("annotations", bounds.ANNOTATION)}])


def _apply(cluster: Cluster, obj: Object, before: Object | None, *, force: bool, dry_run: bool) -> str:
    after = ownership.apply(cluster, obj, before, force=force, dry_run=dry_run)
    if before is None:
        return "created"
    same = before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion")
    return "unchanged" if same else "configured"
