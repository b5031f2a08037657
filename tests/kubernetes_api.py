"""An API server on loopback: the REST paths, discovery, apply, patch and errors of Kubernetes, over a store in memory.

Shapes are those of a v1.34 server. What a real one computes from an apply (defaults, managed fields) is left out;
generation, resourceVersion and field conflicts are kept, since the client decides by them.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]
KINDS = {
    # group/version: {plural: (kind, namespaced)}
    "v1": {
        "namespaces": ("Namespace", False),
        "configmaps": ("ConfigMap", True),
        "secrets": ("Secret", True),
        "services": ("Service", True),
        "pods": ("Pod", True),
        "events": ("Event", True),
        "resourcequotas": ("ResourceQuota", True),
    },
    "apps/v1": {"deployments": ("Deployment", True), "statefulsets": ("StatefulSet", True)},
    "autoscaling/v2": {"horizontalpodautoscalers": ("HorizontalPodAutoscaler", True)},
    "monitoring.coreos.com/v1": {"podmonitors": ("PodMonitor", True), "prometheusrules": ("PrometheusRule", True)},
    "networking.istio.io/v1": {"virtualservices": ("VirtualService", True)},
    "networking.k8s.io/v1": {"networkpolicies": ("NetworkPolicy", True)},
    "policy/v1": {"poddisruptionbudgets": ("PodDisruptionBudget", True)},
    "ray.io/v1": {"rayservices": ("RayService", True), "rayclusters": ("RayCluster", True)},
}
VERSION = {"major": "1", "minor": "34", "gitVersion": "v1.34.1", "platform": "linux/amd64"}
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Request:
    """One request, as it came."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: Any = None


@dataclass
class Refusal:
    """An answer in place of the usual one, to requests that match."""

    matches: Callable[[Request], bool]
    status: int
    body: Object
    times: int = 1_000_000


@dataclass(frozen=True)
class Place:
    """What a path names."""

    api_version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass
class State:
    kinds: dict[str, dict[str, tuple[str, bool]]] = field(default_factory=lambda: copy.deepcopy(KINDS))
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    """By plural, namespace, name."""
    logs: dict[tuple[str, str, bool], str] = field(default_factory=dict)
    """By pod, container, previous."""
    owned: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By name: a top-level field of spec, and the other manager that owns it."""
    requests: list[Request] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    drop: int = 0
    """How many of the next requests get no answer at all."""
    version: int = 1000


class KubernetesApi(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = State()
        self.lock = threading.RLock()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig(f"http://127.0.0.1:{self.server_port}")))
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def put(self, *objects: Object) -> None:
        """Store objects as they are, as a controller would."""
        with self.lock:
            for obj in objects:
                plural = next(
                    plural
                    for kinds in self.state.kinds.values()
                    for plural, (kind, _) in kinds.items()
                    if kind == obj["kind"]
                )
                self.state.version += 1
                obj["metadata"].setdefault("resourceVersion", str(self.state.version))
                self.state.objects[plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]] = obj

    def get(self, plural: str, name: str, namespace: str = "dev") -> Object | None:
        return self.state.objects.get((plural, namespace, name))

    def refuse(self, matches: Callable[[Request], bool], status: int, **body: Any) -> None:
        self.state.refusals.append(Refusal(matches, status, failure(status, **body)))

    def sent(self, method: str, content_type: str = "") -> list[Request]:
        return [item for item in self.state.requests if item.method == method and content_type in item.content_type]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no matter."""


def kubeconfig(server: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "dev"}}],
        "users": [{"name": "dev", "user": {"token": "a-token-of-the-tests"}}],
    }


def failure(code: int, message: str, reason: str, **details: Any) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }


class Refused(Exception):
    def __init__(self, code: int, message: str, reason: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body = failure(code, message, reason, **details)


class Handler(BaseHTTPRequestHandler):
    server: KubernetesApi
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        self.answer()

    def do_PATCH(self) -> None:
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()

    def answer(self) -> None:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        request = Request(
            self.command,
            url.path,
            query,
            self.headers.get("Content-Type", ""),
            json.loads(raw) if raw else None,
        )
        state = self.server.state
        with self.server.lock:
            state.requests.append(request)
            dropped = state.drop > 0
            state.drop -= dropped
            code, body = (0, None) if dropped else copy.deepcopy(respond(state, request))
        if dropped:
            self.close_connection = True
        else:
            self.reply(code, body)

    def reply(self, code: int, body: object) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def respond(state: State, request: Request) -> tuple[int, Any]:
    for refusal in state.refusals:
        if refusal.times and refusal.matches(request):
            refusal.times -= 1
            return refusal.status, refusal.body
    try:
        if request.path == "/version":
            return 200, VERSION
        if request.path == "/apis":
            return 200, group_list(state)
        return respond_at(state, locate(state, request.path), request)
    except Refused as refused:
        return refused.code, refused.body


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
    items = [
        {key: value for key, value in obj.items() if key not in {"kind", "apiVersion"}}  # as lists have them
        for (plural, namespace, _), obj in state.objects.items()
        if plural == place.plural and namespace == place.namespace
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
    if before is not None and place.name in state.owned and request.query.get("force") != "true":
        name, manager = state.owned[place.name]
        if before["spec"].get(name) != wanted["spec"].get(name):
            cause = {
                "reason": "FieldManagerConflict",
                "message": f'conflict with "{manager}"',
                "field": f".spec.{name}",
            }
            message = f'Apply failed with 1 conflict: conflict with "{manager}": .spec.{name}'
            raise Refused(409, message, "Conflict", causes=[cause])
    after |= {name: value for name, value in wanted.items() if name != "metadata"}
    after["metadata"] |= wanted["metadata"]
    if before is not None and after == before:
        return 200, before
    if before is None or after.get("spec") != before.get("spec"):
        after["metadata"]["generation"] += 1
    state.version += 1
    after["metadata"]["resourceVersion"] = str(state.version)
    if request.query.get("dryRun") != "All":
        state.objects[key] = after
    return 201 if before is None else 200, after


def json_patch(state: State, place: Place, request: Request) -> Object:
    after = copy.deepcopy(existing(state, place))
    for operation in request.body:
        *parents, last = operation["path"].strip("/").split("/")
        target: Any = after
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        if operation["op"] == "test" and target[last] != operation["value"]:
            raise Refused(422, "the server rejected our request due to an error in our request", "Invalid")
        target[last] = operation["value"]
    state.version += 1
    after["metadata"]["resourceVersion"] = str(state.version)
    after["metadata"]["generation"] = after["metadata"].get("generation", 1) + 1
    state.objects[place.plural, place.namespace, place.name] = after
    return after
