"""Overlays as `kubectl apply -k` would send them, and their pods."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.service import REPOSITORY

KUBERAY = REPOSITORY / "kuberay"
OVERLAYS = ("local", "prod", "course")
PORT = 8000
RESTRICTED = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
Manifest = dict[str, Any]

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_ray_overlay = pytest.mark.parametrize("overlay", ["local", "prod"])


@functools.cache
def rendered(overlay: str) -> list[Manifest]:
    """Every object of the overlay, rendered by kubectl's own kustomize."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders the manifests, is not installed")
    command = ["kubectl", "kustomize", str(KUBERAY / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def of_kind(overlay: str, kind: str) -> dict[str, Manifest]:
    """The overlay's objects of one kind, by name."""
    return {each["metadata"]["name"]: each for each in rendered(overlay) if each["kind"] == kind}


def pod_templates(overlay: str) -> Iterator[tuple[str, Manifest]]:
    """Every pod template of the overlay, with a name for messages."""
    for manifest in rendered(overlay):
        name = f"{overlay}: {manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            yield name, manifest["spec"]["template"]
        elif manifest["kind"] == "RayService":
            cluster = manifest["spec"]["rayClusterConfig"]
            yield f"{name} head", cluster["headGroupSpec"]["template"]
            for group in cluster["workerGroupSpecs"]:
                yield f"{name} {group['groupName']}", group["template"]


def containers(template: Manifest) -> list[Manifest]:
    """The containers of a pod template, init containers first."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
