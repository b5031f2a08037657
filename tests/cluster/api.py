"""The Kubernetes API, as far as the suite uses it: one namespace, plain objects, a time-out on every call.

The suite does not use the client's own code for this, since it tests the client.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.errors import StepFailed, SuiteError

Object = dict[str, Any]
TIMEOUT_S = (5.0, 30.0)
"""To connect, and for each read."""
WATCH_S = 120
"""After so long the server ends a watch; a read waits a little longer."""
RUN_LABEL = "project-prediction/cluster-test"
"""Label of the namespace: which run made it."""
DELETE = {"apiVersion": "v1", "kind": "DeleteOptions"}
NOT_FOUND, CONFLICT, TOO_MANY = 404, 409, 429
PLURALS = {
    "ConfigMap": "api/v1/{}/configmaps",
    "Pod": "api/v1/{}/pods",
    "NetworkPolicy": "apis/networking.k8s.io/v1/{}/networkpolicies",
    "RayService": "apis/ray.io/v1/{}/rayservices",
    "RayCluster": "apis/ray.io/v1/{}/rayclusters",
    "EndpointSlice": "apis/discovery.k8s.io/v1/{}/endpointslices",
}


class Api:
    """One namespace of a cluster. Errors are one line: StepFailed, or SuiteError if nothing works without it."""

    def __init__(self, kubeconfig: str | None, context: str | None, namespace: str) -> None:
        self.namespace = namespace
        self._kubectl = ["kubectl", "--namespace", namespace]
        self._kubectl += ["--kubeconfig", kubeconfig] if kubeconfig else []
        self._kubectl += ["--context", context] if context else []
        configuration = _configuration(kubeconfig, context)
        self.host = str(configuration.host)
        self._uid = ""
        with tempfile.TemporaryDirectory(prefix="cluster-test-") as folder:
            try:
                cache = str(Path(folder) / "discovery.json")
                self._client = DynamicClient(client.ApiClient(configuration), cache_file=cache)
            except (DynamicApiError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                raise SuiteError(f"the API server {self.host} cannot be used: {_said(error)}") from None

    def create_namespace(self, run: str) -> None:
        """Make the namespace, with PodSecurity `restricted`; one that is there already is refused."""
        labels = {RUN_LABEL: run} | {
            f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")
        }
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}}
        try:
            made = self._json("post", "api/v1/namespaces", body)
        except DynamicApiError as error:
            if error.status == CONFLICT:
                raise SuiteError(f"the namespace {self.namespace} is there already, and not this run's own") from None
            raise SuiteError(f"cannot make the namespace {self.namespace}: {_said(error)}") from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise SuiteError(f"the API server {self.host} cannot be used: {_said(error)}") from None
        self._uid = made["metadata"]["uid"]

    def delete_namespace(self, timeout_s: float) -> bool:
        """Delete the namespace that `create_namespace` made, and wait; whether it is gone.

        It is known by the identity that the API server gave it: one that another has made meanwhile under the same name
        stays.
        """
        if not self._uid or self._own_namespace() is None:
            return True
        with self._errors(f"delete the namespace {self.namespace}"):
            self._json("delete", f"api/v1/namespaces/{self.namespace}", {**DELETE, "preconditions": {"uid": self._uid}})
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            with contextlib.suppress(StepFailed):  # the API server may be away for a moment
                if self._own_namespace() is None:
                    return True
            time.sleep(1.0)
        return False

    def create(self, obj: Object) -> None:
        """Make a ConfigMap, Pod or NetworkPolicy in the namespace."""
        with self._errors(f"make {obj['kind']}/{obj['metadata']['name']}"):
            self._json("post", self._path(obj["kind"]), obj)

    def items(self, kind: str, selector: str = "") -> list[Object]:
        """The namespace's objects of a kind with those labels."""
        with self._errors(f"list {kind}s"):
            return list(self._json("get", self._path(kind), query=[("labelSelector", selector)])["items"])

    def delete_pod(self, pod: str, grace_s: int) -> None:
        """Delete a pod; with no grace it is gone at once, and so is its network."""
        with self._errors(f"delete Pod/{pod}"):
            self._json("delete", self._path("Pod", pod), {**DELETE, "gracePeriodSeconds": grace_s})

    def delete_ray_services(self) -> None:
        """Delete the namespace's RayServices, and with them, in the background, their clusters."""
        for item in self.items("RayService"):
            with self._errors("delete the RayService"):
                self._json("delete", self._path("RayService", item["metadata"]["name"]), DELETE)

    def evict(self, pod: str) -> bool:
        """Evict a pod as `kubectl drain` does; False if a PodDisruptionBudget forbids it for now."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        with self._errors(f"evict Pod/{pod}"):
            try:
                self._json("post", self._path("Pod", pod, "eviction"), body)
            except DynamicApiError as error:
                if error.status == TOO_MANY:
                    return False
                raise
        return True

    def execute(self, pod: str, container: str, command: list[str], timeout_s: float) -> str:
        """Standard output of a command in a container.

        Raises:
            StepFailed: it did not end in time, or with another status than 0.
        """
        doing = f"run {command[0]} in Pod/{pod}"
        whole = [*self._kubectl, "exec", pod, "--container", container, "--", *command]
        try:
            done = subprocess.run(
                whole, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False
            )
        except FileNotFoundError:
            raise SuiteError("kubectl is not installed") from None
        except subprocess.TimeoutExpired:
            raise StepFailed(f"cannot {doing}: it did not end within {timeout_s:.0f} s") from None
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
            raise StepFailed(f"cannot {doing}: status {done.returncode}, {last[0]}")
        return done.stdout

    def follow_log(self, pod: str, since_s: int) -> Iterator[str]:
        """Lines of a pod's log of the last seconds and as they come; ends when the connection or the pod does."""
        query = [("follow", "true"), ("sinceSeconds", str(since_s))]
        with self._errors(f"read the log of Pod/{pod}"):
            yield from _lines(self._stream(self._path("Pod", pod, "log"), query, TIMEOUT_S[1]))

    def log(self, pod: str, tail: int) -> str:
        """The last lines of a pod's log."""
        with self._errors(f"read the log of Pod/{pod}"):
            lines = _lines(self._stream(self._path("Pod", pod, "log"), [("tailLines", str(tail))], TIMEOUT_S[1]))
            return "\n".join(lines)

    def endpoint_slices(self, service: str) -> tuple[list[Object], str]:
        """The Service's EndpointSlices, and the resource version of the list."""
        query = [("labelSelector", f"kubernetes.io/service-name={service}")]
        with self._errors("list EndpointSlices"):
            found = self._json("get", self._path("EndpointSlice"), query=query)
        return list(found["items"]), str(found["metadata"]["resourceVersion"])

    def watch_endpoint_slices(self, service: str, version: str) -> Iterator[Object]:
        """Events after that version, until the server ends the watch."""
        query = [
            ("labelSelector", f"kubernetes.io/service-name={service}"),
            ("resourceVersion", version),
            ("watch", "true"),
            ("timeoutSeconds", str(WATCH_S)),
        ]
        with self._errors("watch EndpointSlices"):
            for line in _lines(self._stream(self._path("EndpointSlice"), query, WATCH_S + TIMEOUT_S[1])):
                yield json.loads(line)

    def _own_namespace(self) -> Object | None:
        """The namespace, unless it is gone or another one of that name has come."""
        with self._errors(f"read the namespace {self.namespace}"):
            try:
                found = self._json("get", f"api/v1/namespaces/{self.namespace}")
            except DynamicApiError as error:
                if error.status == NOT_FOUND:
                    return None
                raise
        return found if found["metadata"]["uid"] == self._uid else None

    def _path(self, kind: str, *more: str) -> str:
        return "/".join([PLURALS[kind].format(f"namespaces/{self.namespace}"), *more])

    def _json(
        self, method: str, path: str, body: Object | None = None, query: list[tuple[str, str]] | None = None
    ) -> Object:
        answer = self._client.request(
            method, path, body=body, query_params=query or [], serialize=False, _request_timeout=TIMEOUT_S
        )
        return dict(json.loads(answer.data))

    def _stream(self, path: str, query: list[tuple[str, str]], read_s: float) -> Any:
        return self._client.request(
            "get",
            path,
            query_params=query,
            header_params={"Accept": "*/*"},
            serialize=False,
            _request_timeout=(TIMEOUT_S[0], read_s),
        )

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (DynamicApiError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise StepFailed(f"cannot {doing}: {_said(error)}") from None


def _configuration(kubeconfig: str | None, context: str | None) -> Any:
    configuration = client.Configuration()
    configuration.retries = False
    try:
        config.load_kube_config(kubeconfig, context, client_configuration=configuration, persist_config=False)
    except (config.ConfigException, OSError, ValueError, TypeError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SuiteError(f"no usable kubeconfig: {reason}") from None
    return configuration


def _lines(response: Any) -> Iterator[str]:
    """Whole lines of a response that is read as it comes."""
    try:
        rest = b""
        for chunk in response.stream(4096):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines if line)
        if rest:
            yield rest.decode(errors="replace")
    finally:
        response.close()


def _said(error: Exception) -> str:
    """The API server's own words, or the kind of error."""
    if not isinstance(error, DynamicApiError):
        return type(error).__name__
    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason or "no reason given"
    return f"status {error.status}, {' '.join(str(message).split())[:500]}"
