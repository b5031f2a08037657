"""Checks that the secrets that pods read exist, with their keys."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.names import Object
from kuberay.preflight.finding import Finding, Level
from kuberay.templates import containers, templates

REDIS_AUTH = "redis-auth"
_USERS = {"project-password", "lab-password"}
"""Optional keys of the password's Secret that make users of redis; a third, value-key, needs no component."""


def check(cluster: Cluster, objects: list[Object]) -> Iterator[Finding]:
    """Findings about secrets: pods wait for a missing one, so each is a warning."""
    brought = {obj["metadata"]["name"] for obj in objects if obj["kind"] == "Secret"}
    for namespace, name, keys in sorted(_wanted(objects)):
        if name in brought:
            continue
        try:
            secret = cluster.find("v1", "Secret", name, namespace)
        except ClientError as error:
            yield Finding(Level.UNKNOWN, error.code, f"Secret/{name}: {error}")
            continue
        has = (secret or {}).get("data") or {}
        missing = [key for key in keys if key not in has]
        if missing:
            lacks = f"has no key {', '.join(missing)}" if secret else "is not there"
            hint = _add(namespace, name, missing) if secret else _create(namespace, name, keys)
            yield Finding(Level.WARNING, ExitCode.CONTAINER_CONFIG, f"Secret/{name} {lacks}; {hint}")
        unused = sorted(_USERS & has.keys() - set(keys))
        if name == REDIS_AUTH and unused and not _USERS & set(keys):
            fault = f"has {', '.join(unused)}, and services go on with the one password; list components/redis-users"
            yield Finding(Level.WARNING, ExitCode.CONTAINER_CONFIG, f"Secret/{name} {fault} in the overlay")


def _create(namespace: str, name: str, keys: tuple[str, ...]) -> str:
    literals = " ".join(f'--from-literal={key}="$(openssl rand -hex 24)"' for key in keys)
    return f"`kubectl -n {namespace} create secret generic {name} {literals}` makes it"


def _add(namespace: str, name: str, keys: list[str]) -> str:
    pairs = ",".join(f'\\"{key}\\":\\"$(openssl rand -hex 24)\\"' for key in keys)
    patch = '"{\\"stringData\\":{' + pairs + '}}"'
    return f"`kubectl -n {namespace} patch secret {name} -p {patch}` adds it"


def _wanted(objects: list[Object]) -> set[tuple[str, str, tuple[str, ...]]]:
    """Namespace, name and keys of each Secret."""
    keys: dict[tuple[str, str], set[str]] = {}

    def add(owner: Object, name: str, key: str) -> None:
        keys.setdefault((owner["metadata"].get("namespace", ""), name), set()).add(key)

    for owner, template, _ in templates(objects):
        for container in containers(template):
            for variable in container.get("env") or []:
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if reference and not reference.get("optional"):
                    add(owner, reference["name"], reference["key"])
    for obj in objects:
        if obj["kind"] == "RayService":
            config = obj["spec"]["rayClusterConfig"]
            if name := (config.get("authOptions") or {}).get("secretName"):
                add(obj, name, "auth_token")
            password = (config.get("gcsFaultToleranceOptions") or {}).get("redisPassword") or {}
            if reference := (password.get("valueFrom") or {}).get("secretKeyRef"):
                add(obj, reference["name"], reference["key"])
    return {(namespace, name, tuple(sorted(each))) for (namespace, name), each in keys.items()}
