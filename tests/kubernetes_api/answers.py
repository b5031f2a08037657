"""What the API server says to a request: discovery, reads, apply, patch, delete."""

from __future__ import annotations

import copy
from typing import Any

from tests.kubernetes_api.managed_fields import claimed, conflicts, without_times
from tests.kubernetes_api.state import Place, Refused, Request, State
from tests.support.kubernetes_objects import Object

VERSION = {"major": "1", "minor": "34", "gitVersion": "v1.34.1", "platform": "linux/amd64"}
APPLY = "application/apply-patch+yaml"
MAPS = ("labels", "annotations")


def respond(state: State, request: Request) -> tuple[int, Any]:
    for refusal in state.refusals:
        if refusal.times and refusal.matches(request):
            refusal.times -= 1
            return refusal.status, refusal.body
    try:
        special = of_the_server(state, request)
        return special or respond_at(state, locate(state, request.path), request)
    except Refused as refused:
        return refused.code, refused.body


def of_the_server(state: State, request: Request) -> tuple[int, Any] | None:
    """What is asked of the server itself, not of an object."""
    if request.path == "/version":
        return 200, VERSION
    if request.path == "/apis":
        return 200, group_list(state)
    if request.path == "/openapi/v3/apis/ray.io/v1" and state.schemas is not None:
        return 200, {"openapi": "3.0.0", "components": {"schemas": state.schemas}}
    if request.path.endswith("/selfsubjectaccessreviews"):
        asked = request.body["spec"]["resourceAttributes"]
        allowed = (asked["verb"], asked["resource"]) not in state.forbidden
        return 201, {**request.body, "status": {"allowed": allowed}}
    return None


def respond_at(state: State, place: Place, request: Request) -> tuple[int, Any]:
    if not place.plural:
        return 200, resource_list(state, place.api_version)
    if request.method == "GET":
        return 200, read(state, place, request)
    if request.method == "DELETE":
        found = existing(state, place)
        del state.objects[place.plural, place.namespace, place.name]
        return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": found["metadata"]}
    return apply(state, place, request) if request.content_type == APPLY else (200, json_patch(state, place, request))


def group_list(state: State) -> Object:
    groups = []
    for name, version in (item.split("/") for item in state.kinds if "/" in item):
        entry = {"groupVersion": f"{name}/{version}", "version": version}
        groups.append({"name": name, "versions": [entry], "preferredVersion": entry})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def resource_list(state: State, api_version: str) -> Object:
    verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    resources = [
        {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": verbs}
        for plural, (kind, namespaced) in state.kinds[api_version].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources}


def locate(state: State, path: str) -> Place:
    parts = path.strip("/").split("/")
    size = 2 if parts[0] == "api" else 3
    api_version, rest = "/".join(parts[1:size]), parts[size:]
    if api_version not in state.kinds:
        raise Refused(404, "the server could not find the requested resource", "NotFound")
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = [*rest, "", "", ""][:3]
    if plural and plural not in state.kinds[api_version]:
        raise Refused(404, "the server could not find the requested resource", "NotFound")
    return Place(api_version, plural, namespace, name, subresource)


def existing(state: State, place: Place) -> Object:
    found = state.objects.get((place.plural, place.namespace, place.name))
    if found is None:
        message = f'{place.resource} "{place.name}" not found'
        raise Refused(404, message, "NotFound", name=place.name, group=place.group, kind=place.plural)
    return found


def read(state: State, place: Place, request: Request) -> Any:
    if place.subresource == "log":
        existing(state, place)
        container, previous = request.query["container"], request.query.get("previous") == "true"
        text = state.logs.get((place.name, container, previous))
        if text is None and previous:
            message = f'previous terminated container "{container}" in pod "{place.name}" not found'
            raise Refused(400, message, "BadRequest")
        lines = (text or "").splitlines(keepends=True)
        return "".join(lines[len(lines) - int(request.query["tailLines"]) :])
    if place.name:
        return existing(state, place)
    kind = state.kinds[place.api_version][place.plural][0]
    labels = dict(item.split("=") for item in request.query.get("labelSelector", "").split(",") if item)
    items = [
        {key: value for key, value in obj.items() if key not in {"kind", "apiVersion"}}  # as lists have them
        for (plural, namespace, _), obj in state.objects.items()
        if plural == place.plural
        and place.namespace in ("", namespace)
        and labels.items() <= (obj["metadata"].get("labels") or {}).items()
        and state.kinds[place.api_version][plural][0] == obj["kind"]
    ]
    return {"kind": f"{kind}List", "apiVersion": place.api_version, "metadata": {}, "items": items}


def apply(state: State, place: Place, request: Request) -> tuple[int, Object]:
    if not request.query.get("fieldManager"):
        raise Refused(400, "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value", "Invalid")
    if place.namespace and ("namespaces", "", place.namespace) not in state.objects:
        raise Refused(404, f'namespaces "{place.namespace}" not found', "NotFound", kind="namespaces")
    key = place.plural, place.namespace, place.name
    before = state.objects.get(key)
    after: Object = copy.deepcopy(before or {"metadata": {"uid": f"uid-{place.name}", "generation": 0}})
    wanted = request.body
    forced = request.query.get("force") == "true"
    if before is not None and not forced and (causes := conflicts(state, before, wanted)):
        messages = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
        raise Refused(409, f"Apply failed with {len(causes)} conflicts: {messages}", "Conflict", causes=causes)
    after |= {name: value for name, value in wanted.items() if name != "metadata"}
    merged = {name: {**(after["metadata"].get(name) or {}), **wanted["metadata"].get(name, {})} for name in MAPS}
    after["metadata"] |= wanted["metadata"] | {name: each for name, each in merged.items() if each}
    if before is not None and before["metadata"].get("managedFields"):
        after["metadata"]["managedFields"] = claimed(before["metadata"]["managedFields"], wanted, forced=forced)
    if before is not None and without_times(after) == without_times(before):
        return 200, before
    if before is None or after.get("spec") != before.get("spec"):
        after["metadata"]["generation"] = after["metadata"].get("generation", 0) + 1
    state.version += 1
    after["metadata"]["resourceVersion"] = str(state.version)
    if request.query.get("dryRun") != "All":
        state.objects[key] = after
    return 201 if before is None else 200, after


def json_patch(state: State, place: Place, request: Request) -> Object:
    after = copy.deepcopy(existing(state, place))
    for operation in request.body:
        *parents, last = (part.replace("~1", "/") for part in operation["path"].strip("/").split("/"))
        target: Any = after
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        if operation["op"] == "test" and target[last] != operation["value"]:
            raise Refused(422, "the server rejected our request due to an error in our request", "Invalid")
        if operation["op"] == "remove":
            if last not in target:
                raise Refused(422, "the server rejected our request due to an error in our request", "Invalid")
            del target[last]
        else:
            target[last] = operation["value"]
    state.version += 1
    after["metadata"]["resourceVersion"] = str(state.version)
    if after.get("spec") != existing(state, place).get("spec"):
        after["metadata"]["generation"] = after["metadata"].get("generation", 1) + 1
    state.objects[place.plural, place.namespace, place.name] = after
    return after
