"""Running `python -m kuberay` in this process against an API server of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kuberay.cli import main
from tests.kubernetes_api.server import KubernetesApi

MANIFESTS = """
apiVersion: ray.io/v1
kind: RayService
metadata: {name: project-prediction}
spec:
  serveConfigV2: |
    applications:
    - name: sentiment
      import_path: serve_app.app:build_app
  rayClusterConfig:
    rayVersion: "2.60.0"
    headGroupSpec: {rayStartParams: {num-cpus: "0"}, template: {spec: {containers: [{name: ray, image: project}]}}}
    workerGroupSpecs:
    - {groupName: model, replicas: 2, minReplicas: 2, maxReplicas: 4, rayStartParams: {},
       template: {spec: {containers: [{name: ray, image: project}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: redis-deployment}
spec:
  selector: {matchLabels: {app: redis}}
  template: {metadata: {labels: {app: redis}}, spec: {containers: [{name: redis, image: "redis:7.4.2"}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: lab-api-deployment}
spec:
  replicas: 1
  selector: {matchLabels: {app: lab}}
  template: {metadata: {labels: {app: lab}}, spec: {containers: [{name: lab, image: lab}]}}
---
apiVersion: v1
kind: Service
metadata: {name: redis-service}
spec: {selector: {app: redis}, ports: [{port: 6379}]}
---
apiVersion: v1
kind: Secret
metadata: {name: redis-password}
stringData: {password: correct-horse-battery}
data: {old: aHVudGVyMg==}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {LEVEL: info}
---
apiVersion: v1
kind: Namespace
metadata: {name: dev}
"""


def write_overlay(folder: Path) -> Path:
    """An overlay over a base, as the repository's are built; its path."""
    base, overlay = folder / "base", folder / "overlay"
    base.mkdir()
    overlay.mkdir()
    (base / "manifests.yaml").write_text(MANIFESTS)
    (base / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["manifests.yaml"]}))
    images = [
        {"name": "project", "newName": "registry.example/dev/project", "newTag": "0a1b2c3"},
        {"name": "lab", "newName": "registry.example/dev/lab", "newTag": "v1"},
    ]
    kustomization = {"namespace": "dev", "resources": ["../base"], "images": images}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return overlay


class Commands:
    """Runs commands; `out` and `err` are what the last one printed."""

    def __init__(self, api: KubernetesApi, overlay: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.api = api
        self.overlay = overlay
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def __call__(self, *arguments: str) -> int:
        code = main([*arguments, "--overlay", str(self.overlay), "--kubeconfig", str(self.api.kubeconfig)])
        self.out, self.err = self._capsys.readouterr()
        return code
