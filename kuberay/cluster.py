"""A client of the Kubernetes API, with plain objects and with errors that say what to do."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import urllib3
from kubernetes import client
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError

from kuberay.errors import ClientError, ExitCode, Unreachable
from kuberay.kubeconfig import configuration
from kuberay.names import FIELD_MANAGER, Object, label
from kuberay.redact import redact_text
from kuberay.refusals import explain

TIMEOUT_S = (5.0, 30.0)
"""Time-outs of connecting, and of each read."""
_MIN_S = 0.5
_OPERATORS = {
    "ray.io": "KubeRay's operator",
    "networking.istio.io": "Istio",
    "monitoring.coreos.com": "Prometheus' operator",
}


class _Client(DynamicClient):  # type: ignore[misc]  # the library is untyped
    """The dynamic client, which would wait forever by default."""

    deadline: float | None = None
    """On the monotonic clock: requests time out then."""

    def request(self, method: str, path: str, body: object = None, **params: Any) -> Any:
        left = TIMEOUT_S[1] if self.deadline is None else max(_MIN_S, self.deadline - time.monotonic())
        params.setdefault("_request_timeout", tuple(min(each, left) for each in TIMEOUT_S))
        return super().request(method, path, body=body, **params)


class Cluster:
    """One API server; every method raises ClientError, or `Unreachable` if a retry may help."""

    def __init__(self, kubeconfig: str | None = None, context: str | None = None) -> None:
        self._api = client.ApiClient(configuration(kubeconfig, context))
        self.host = str(self._api.configuration.host)
        with tempfile.TemporaryDirectory(prefix="kuberay-") as folder, self._errors("discovery"):
            # a cache file of its own: the default is shared by all users of the machine, and outlives clusters
            self._client = _Client(self._api, cache_file=str(Path(folder) / "discovery.json"))

    def give_up_at(self, deadline: float) -> None:
        """Time out all requests at the deadline, on the monotonic clock."""
        self._client.deadline = deadline

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._api.rest_client.close()

    def find(self, api_version: str, kind: str, name: str, namespace: str | None) -> Object | None:
        """The object, or None if it does not exist."""
        try:
            with self._errors(f"get {kind}/{name}"):
                got = self._resource(api_version, kind).get(name=name, namespace=namespace)
        except ClientError as error:
            if error.code is ExitCode.NOT_FOUND:
                return None
            raise
        return dict(got.to_dict())

    def items(self, api_version: str, kind: str, namespace: str | None, selector: str = "") -> list[Object]:
        """All objects of a kind in the namespace, or in the cluster, whose labels match the selector."""
        with self._errors(f"list {kind}s in {namespace or 'the cluster'}"):
            got = self._resource(api_version, kind).get(namespace=namespace, label_selector=selector or None).to_dict()
        return [{"kind": kind, "apiVersion": api_version, **item} for item in got.get("items") or []]

    def may(self, verb: str, api_version: str, plural: str, namespace: str | None) -> bool:
        """Whether the caller has the right; `plural` is the resource's name, such as pods."""
        group = api_version.rpartition("/")[0]
        attributes = {"verb": verb, "group": group, "resource": plural, "namespace": namespace or ""}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        with self._errors(f"ask whether {verb} {plural} is allowed"):
            answer = self._client.request("post", path, body=review, serialize=False)
            return json.loads(answer.data)["status"].get("allowed") is True

    def schema(self, api_version: str) -> Object:
        """The OpenAPI schemas of a group's kinds, by their names."""
        with self._errors(f"read the schema of {api_version}"):
            answer = self._client.request("get", f"/openapi/v3/apis/{api_version}", serialize=False)
            return dict(json.loads(answer.data)["components"]["schemas"])

    def plural(self, api_version: str, kind: str) -> str:
        """The resource's name in paths and rights; CRD_MISSING if the cluster does not know the kind."""
        return str(self._resource(api_version, kind).name)

    def apply(self, obj: Object, *, force: bool, dry_run: bool) -> Object:
        """Server-side apply; a field that another manager owns is a CONFLICT unless forced."""
        with self._errors(f"apply {label(obj)}", secret=obj["kind"] == "Secret"):
            got = self._resource(obj["apiVersion"], obj["kind"]).server_side_apply(
                body=obj,
                namespace=obj["metadata"].get("namespace"),
                field_manager=FIELD_MANAGER,
                force_conflicts=str(force).lower(),
                dry_run="All" if dry_run else None,
            )
        return dict(got.to_dict())

    def patch(self, obj: Object, operations: list[Object]) -> Object:
        """Apply a JSON patch to the object of this kind, name and namespace."""
        with self._errors(f"patch {label(obj)}"):
            got = self._resource(obj["apiVersion"], obj["kind"]).patch(
                body=operations,
                name=obj["metadata"]["name"],
                namespace=obj["metadata"].get("namespace"),
                content_type="application/json-patch+json",
                field_manager=FIELD_MANAGER,
            )
        return dict(got.to_dict())

    def delete(self, obj: Object) -> bool:
        """Delete it and the objects that it owns; False if it did not exist."""
        meta = obj["metadata"]
        try:
            with self._errors(f"delete {label(obj)}"):
                self._resource(obj["apiVersion"], obj["kind"]).delete(
                    name=meta["name"], namespace=meta.get("namespace"), propagation_policy="Background"
                )
        except ClientError as error:
            if error.code in {ExitCode.NOT_FOUND, ExitCode.CRD_MISSING}:
                return False
            raise
        return True

    def logs(
        self, pod: str, namespace: str, container: str, *, tail: int, previous: bool = False, follow: bool = False
    ) -> Iterator[str]:
        """Lines of a container's log, credentials removed; with `follow` until the container ends."""
        query = [("container", container), ("tailLines", str(tail))]
        query += [(name, "true") for name, wanted in (("previous", previous), ("follow", follow)) if wanted]
        with self._errors(f"read the log of Pod/{pod}"):
            response = self._client.request(
                "get",
                f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
                query_params=query,
                header_params={"Accept": "*/*"},
                serialize=False,
                _request_timeout=(TIMEOUT_S[0], None) if follow else TIMEOUT_S,
            )
            try:
                rest = b""
                for chunk in response.stream(65536):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from (redact_text(line.decode(errors="replace")) for line in lines)
                if rest:
                    yield redact_text(rest.decode(errors="replace"))
            finally:
                response.close()

    def _resource(self, api_version: str, kind: str) -> Any:
        # without the prefix, a look-up of v1 asks every group of the cluster that has a v1
        prefix = "apis" if "/" in api_version else "api"
        try:
            return self._client.resources.get(prefix=prefix, api_version=api_version, kind=kind)
        except ResourceNotFoundError:
            group = api_version.rpartition("/")[0]
            hint = f"; is {_OPERATORS[group]} installed?" if group in _OPERATORS else ""
            raise ClientError(ExitCode.CRD_MISSING, f"the cluster knows no {kind} in {api_version}{hint}") from None

    @contextlib.contextmanager
    def _errors(self, doing: str, *, secret: bool = False) -> Iterator[None]:
        try:
            yield
        except DynamicApiError as error:
            raise explain(error, doing, secret=secret) from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            why = type(error).__name__
            raise Unreachable(f"the API server {self.host} cannot be reached ({why}) to {doing}") from None
