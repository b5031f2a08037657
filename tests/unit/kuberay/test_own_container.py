"""The project's own container, its image and its state, whatever stands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kuberay import rayservice
from kuberay.diagnosis import diagnose
from kuberay.errors import ClientError
from kuberay.render import OVERLAYS, check_images, render
from kuberay.snapshot import Snapshot
from tests.support.kubernetes_objects import Object

SIDECAR: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "project-api-deployment"},
    "spec": {"template": {"spec": {"containers": [{"name": "otel", "image": "otel/collector:1"}]}}},
}


@pytest.fixture
def overlay(tmp_path: Path) -> str:
    """The course's overlay with a sidecar, which kustomize puts first."""
    (tmp_path / "sidecar.yaml").write_text(yaml.safe_dump(SIDECAR))
    up = "../" * len(tmp_path.resolve().parts[1:])
    kustomization = {"resources": [f"{up}{OVERLAYS.relative_to('/')}/course"], "patches": [{"path": "sidecar.yaml"}]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return str(tmp_path)


def test_an_image_is_given_to_the_own_container_and_not_to_a_sidecar(overlay: str) -> None:
    (project,) = (
        obj
        for obj in render(overlay, "reg.local:5000/p:1")
        if obj["metadata"]["name"] == SIDECAR["metadata"]["name"] and obj["kind"] == "Deployment"
    )
    images = {each["name"]: each["image"] for each in project["spec"]["template"]["spec"]["containers"]}
    assert images == {"otel": "otel/collector:1", "project": "reg.local:5000/p:1"}
    with pytest.raises(ClientError, match="has no image yet"):
        check_images(render(overlay))


def test_messages_of_the_ray_service_have_no_credentials() -> None:
    said = "cannot reach redis://project:hunter2hunter2@redis-service"
    deployments = {"ingress": {"status": "UNHEALTHY", "message": said}}
    application = {"status": "DEPLOY_FAILED", "message": said, "serveDeploymentStatuses": deployments}
    active = {"rayClusterName": "a", "applicationStatuses": {"sentiment": application}}
    condition = {"type": "Ready", "status": "False", "reason": "x", "message": said}
    state = rayservice.read(
        {
            "metadata": {"name": "project-prediction"},
            "spec": {"serveConfigV2": "applications: [{name: sentiment}]"},
            "status": {"activeServiceStatus": active, "conditions": [condition]},
        }
    )
    assert "hunter2" not in str(state)
    assert "redis-service" in state.applications[0].message


def pod(name: str, made: str, phase: str, **status: Any) -> Object:
    meta = {"name": name, "creationTimestamp": made, "labels": {"app": "lab"}}
    return {"kind": "Pod", "metadata": meta, "status": {"phase": phase, **status}}


def test_an_evicted_pod_that_was_replaced_is_no_problem() -> None:
    lab = {"kind": "Deployment", "metadata": {"name": "lab"}, "spec": {"selector": {"matchLabels": {"app": "lab"}}}}
    old = pod("old", "2026-01-01T00:00:00Z", "Failed", reason="Evicted", message="low on memory")
    new = pod("new", "2026-01-02T00:00:00Z", "Running")
    assert diagnose(Snapshot("x", None, {"lab": lab}, [old, new])) == []
    (problem,) = diagnose(Snapshot("x", None, {"lab": lab}, [old]))
    assert problem.subject == "Pod/old"
