"""Who owns which field: as much of server-side apply's bookkeeping as conflicts need."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from tests.kubernetes_api.state import State
from tests.support.kubernetes_objects import Object

CLIENT = "kuberay-client"


def conflicts(state: State, before: Object, wanted: Object) -> list[Object]:
    """A cause for each field that somebody else owns and that the apply would change."""
    causes = []
    name = before["metadata"]["name"]
    if name in state.owned:
        field, manager = state.owned[name]
        if before["spec"].get(field) != wanted["spec"].get(field):
            causes.append(cause(manager, f".spec.{field}"))
    for entry in before["metadata"].get("managedFields") or []:
        if entry.get("subresource") or (entry["manager"], entry["operation"]) == (CLIENT, "Apply"):
            continue
        for path in leaves(entry["fieldsV1"]):
            mine, held = at(wanted, path), at(before, path)
            if mine is not None and mine != held:
                causes.append(cause(entry["manager"], "." + ".".join(part.partition(":")[2] for part in path)))
    return causes


def cause(manager: str, field: str) -> Object:
    return {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}" using v1', "field": field}


def claimed(entries: list[Object], wanted: Object, *, forced: bool) -> list[Object]:
    """The entries after an apply: with force the others lose what the applied object has."""
    entries = copy.deepcopy(entries)
    if forced:
        for entry in entries:
            if not entry.get("subresource") and (entry["manager"], entry["operation"]) != (CLIENT, "Apply"):
                for path in [*leaves(entry["fieldsV1"])]:
                    if at(wanted, path) is not None:
                        drop(entry["fieldsV1"], path)
    return entries


def without_times(obj: Object) -> Object:
    """The object without who changed it when."""
    meta = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": meta}


def leaves(fields: Object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of `fieldsV1` that end there."""
    below = {name: each for name, each in fields.items() if name != "."}
    if path and not below:
        yield path
    for name, each in below.items():
        yield from leaves(each, (*path, name))


def at(obj: Any, path: tuple[str, ...]) -> Any:
    """What the object has at a path of `fieldsV1`; None where it has nothing."""
    for part in path:
        kind, _, name = part.partition(":")
        if kind == "k" and isinstance(obj, list):
            keys = json.loads(name)
            obj = next((item for item in obj if all(item.get(key) == value for key, value in keys.items())), None)
        elif kind == "f" and isinstance(obj, dict):
            obj = obj.get(name)
        else:
            return None
    return obj


def drop(fields: Object, path: tuple[str, ...]) -> None:
    for part in path[:-1]:
        fields = fields[part]
    fields.pop(path[-1])
