"""Takes over fields of other managers in an apply, by the rules of server-side apply.

Sources: Kubernetes' documentation of server-side apply, and kubectl's own migration from client-side apply.
"""

from __future__ import annotations

import copy
from typing import Any

from kuberay.cluster import Cluster
from kuberay.errors import Conflict
from kuberay.names import FIELD_MANAGER, Object, pointer

KUBECTL = frozenset({"kubectl-client-side-apply", "kubectl", "kubectl-last-applied"})
"""Manager names of `kubectl apply`, client-side and server-side; `kubectl edit` and `patch` have others."""
OPERATOR = "kuberay-operator"
"""It writes whole objects, so it owns fields that it never changed, such as the list of worker groups."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def apply(cluster: Cluster, obj: Object, before: Object | None, *, force: bool, dry_run: bool) -> Object:
    """Apply an object, taking over the fields that kubectl applied and that KubeRay's operator owns.

    Raises:
        Conflict: another manager owns a field that would change, and `force` is not given.
    """
    if before is not None and not dry_run:
        _take_over_from_kubectl(cluster, before)
        _cut_loose(cluster, obj, before)
    ours = {OPERATOR, FIELD_MANAGER} | (KUBECTL if dry_run else frozenset())
    try:
        return cluster.apply(obj, force=force, dry_run=dry_run)
    except Conflict as conflict:
        if not conflict.managers or not conflict.managers <= ours:
            raise
        return cluster.apply(obj, force=True, dry_run=dry_run)


def merged(fields: Object, others: Object) -> Object:
    """Both sets of fields in one, in the form of `fieldsV1`."""
    union = dict(fields)
    for name, below in others.items():
        union[name] = merged(union.get(name, {}), below)
    return union


def _take_over_from_kubectl(cluster: Cluster, before: Object) -> None:
    """Take over kubectl's fields, so that a field that the overlay drops is removed, not kept for ever."""
    entries: list[Any] = before["metadata"].get("managedFields") or []
    theirs = [entry for entry in entries if entry.get("manager") in KUBECTL and not entry.get("subresource")]
    if not theirs:
        return
    own = next((entry for entry in entries if _is_own(entry)), None)
    taken = copy.deepcopy(own or {**theirs[0], "manager": FIELD_MANAGER, "operation": "Apply"})
    for entry in theirs:
        taken["fieldsV1"] = merged(taken.get("fieldsV1") or {}, entry.get("fieldsV1") or {})
    kept = [entry for entry in entries if entry not in theirs and not _is_own(entry)]
    operations: list[Object] = [{"op": "replace", "path": pointer("managedFields"), "value": [*kept, taken]}]
    if _LAST_APPLIED in (before["metadata"].get("annotations") or {}):
        operations.append({"op": "remove", "path": pointer("annotations", _LAST_APPLIED)})
    cluster.patch(before, operations)


def _cut_loose(cluster: Cluster, obj: Object, before: Object) -> None:
    """Detach a Service that KubeRay once made from its RayService, and remove the operator's labels."""
    owners = [owner.get("kind") for owner in before["metadata"].get("ownerReferences") or []]
    if obj["kind"] != "Service" or "RayService" not in owners:
        return
    labels = [name for name in before["metadata"].get("labels") or {} if name.startswith("ray.io/")]
    places = [pointer("ownerReferences"), *(pointer("labels", name) for name in labels)]
    cluster.patch(before, [{"op": "remove", "path": place} for place in places])


def _is_own(entry: Object) -> bool:
    return entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")
