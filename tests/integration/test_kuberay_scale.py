"""scale against an API server of the test's own: the RayService and its clusters, or the HPA."""

from __future__ import annotations

from typing import Any

from kuberay.errors import ExitCode
from tests.support import kubernetes_objects as objects
from tests.support.kuberay_commands import Commands

PATCH = "application/json-patch+json"


def workers(obj: dict[str, Any] | None) -> tuple[int, int, int]:
    assert obj is not None
    spec = obj["spec"].get("rayClusterConfig", obj["spec"])
    (group,) = spec["workerGroupSpecs"]
    return group["minReplicas"], group["maxReplicas"], group["replicas"]


def test_scale_patches_the_ray_service_and_its_cluster(commands: Commands) -> None:
    commands.api.put(*objects.everything_up())
    assert commands("scale", "3", "6") == 0, commands.err
    assert [request.path.rpartition("/")[2] for request in commands.api.sent("PATCH", PATCH)] == [
        "project-prediction",
        objects.CLUSTER,
    ]
    assert workers(commands.api.get("rayservices", "project-prediction")) == (3, 6, 3)
    assert workers(commands.api.get("rayclusters", objects.CLUSTER)) == (3, 6, 3)


def test_scale_patches_both_clusters_during_an_upgrade(commands: Commands) -> None:
    pending = {**objects.application("DEPLOYING"), "rayClusterName": "project-prediction-new"}
    service = objects.ray_service(objects.up(pendingServiceStatus=pending))
    commands.api.put(service, objects.ray_cluster(), objects.ray_cluster("project-prediction-new"))
    assert commands("scale", "1") == 0
    for name in (objects.CLUSTER, "project-prediction-new"):
        assert workers(commands.api.get("rayclusters", name)) == (1, 1, 1)


def test_scale_of_a_group_that_is_not_there_patches_nothing(commands: Commands) -> None:
    commands.api.put(*objects.everything_up())
    assert commands("scale", "1", "--group", "gpu") == ExitCode.USAGE
    assert "there are: model" in commands.err
    assert commands("scale", "5", "2") == ExitCode.USAGE
    assert not commands.api.sent("PATCH")


def test_scale_of_the_plain_deployment_patches_its_hpa(commands: Commands) -> None:
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "project-api-hpa", "namespace": "dev"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "project-api-deployment"}, "maxReplicas": 2},
    }
    commands.api.put(hpa)
    assert commands("scale", "2", "8") == 0, commands.err
    after = commands.api.get("horizontalpodautoscalers", "project-api-hpa")
    assert after is not None
    assert (after["spec"]["minReplicas"], after["spec"]["maxReplicas"]) == (2, 8)
