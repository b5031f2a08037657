"""Applies to a service that runs, as a real API server held it: whose fields are taken over, and what stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from kuberay.errors import ExitCode
from tests import kubernetes_states
from tests.kubernetes_api.answers import APPLY
from tests.kubernetes_api.state import Request
from tests.support.kuberay_commands import Commands
from tests.support.kubernetes_objects import Object

NEW = "registry.example/team/project:4d5e6f7"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@pytest.fixture
def ready(commands: Commands) -> Commands:
    commands.overlay = "local"  # type: ignore[assignment]  # by its name
    kubernetes_states.put(commands.api, "ready")
    return commands


def apply(commands: Commands, *more: str) -> int:
    return commands("apply", "--namespace", "rec", *more)


def held(commands: Commands, plural: str, name: str) -> Any:
    found = commands.api.get(plural, name, "rec")
    assert found is not None
    return found


def group(commands: Commands) -> Object:
    (found,) = held(commands, "rayservices", "project-prediction")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    return dict(found)


def classifier(commands: Commands) -> Object:
    config = yaml.safe_load(held(commands, "rayservices", "project-prediction")["spec"]["serveConfigV2"])
    (found,) = (each for each in config["applications"][0]["deployments"] if each["name"] == "classifier")
    return dict(found["autoscaling_config"])


def test_an_upgrade_takes_over_what_only_the_operator_holds(ready: Commands) -> None:
    assert apply(ready, "--image", NEW) == 0, ready.err
    assert json.dumps(held(ready, "rayservices", "project-prediction")["spec"]).count(NEW) == 2
    assert "RayService/project-prediction configured" in ready.out
    assert apply(ready, "--image", NEW) == 0
    assert {line.rpartition(" ")[2] for line in ready.out.splitlines()} == {"unchanged"}


def test_the_service_of_the_operator_becomes_ours_without_a_moment_of_none(ready: Commands) -> None:
    before = held(ready, "services", "project-prediction-service")
    assert before["metadata"]["ownerReferences"][0]["kind"] == "RayService"
    assert apply(ready) == 0, ready.err
    after = held(ready, "services", "project-prediction-service")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert set(after["spec"]["selector"]) == {"app", "ray.io/node-type", "ray.io/serve"}
    # it outlives the RayService, and the operator does not take it for its own
    assert "ownerReferences" not in after["metadata"]
    assert not [name for name in after["metadata"].get("labels", {}) if name.startswith("ray.io/")]
    served = held(ready, "rayservices", "project-prediction")["spec"]["serveService"]
    assert served["metadata"]["name"] == "project-prediction-serve"
    applied = [request.body["kind"] for request in ready.api.sent("PATCH", APPLY)]
    assert applied.index("Service") < applied.index("RayService")


def managed_by(commands: Commands, manager: str, operation: str, fields: Object) -> Object:
    """Have a manager own fields of the RayService."""
    service = held(commands, "rayservices", "project-prediction")
    entry = {"manager": manager, "operation": operation, "apiVersion": "ray.io/v1", "fieldsV1": fields}
    service["metadata"]["managedFields"].append({**entry, "fieldsType": "FieldsV1", "time": "2026-11-26T04:14:00Z"})
    return dict(service)


GROUPS: Object = {"f:spec": {"f:rayClusterConfig": {"f:workerGroupSpecs": {}}}}


def test_what_kubectl_apply_held_is_taken_over_as_kubectl_itself_does(ready: Commands) -> None:
    gone: Object = {"f:spec": {"f:rayClusterConfig": {"f:workerGroupSpecs": {}}, "f:suspend": {}}}
    service = managed_by(ready, "kubectl-client-side-apply", "Update", gone)
    service["metadata"]["annotations"][LAST_APPLIED] = "{}"
    assert apply(ready, "--image", NEW) == 0, ready.err
    meta = held(ready, "rayservices", "project-prediction")["metadata"]
    assert LAST_APPLIED not in meta["annotations"]
    managers = [(entry["manager"], entry["operation"]) for entry in meta["managedFields"]]
    assert "kubectl-client-side-apply" not in dict(managers)
    (own,) = (entry for entry in meta["managedFields"] if entry["manager"] == "kuberay-client")
    # a field that the manifests drop later goes away, since it is ours now
    assert own["fieldsV1"]["f:spec"]["f:suspend"] == {}


@pytest.mark.parametrize("manager", ["kubectl-edit", "argocd-controller"])
def test_what_others_hold_is_refused_unless_forced(ready: Commands, manager: str) -> None:
    managed_by(ready, manager, "Update", GROUPS)
    assert apply(ready, "--image", NEW) == ExitCode.CONFLICT
    assert manager in ready.err
    assert "--force-conflicts" in ready.err
    assert apply(ready, "--image", NEW, "--force-conflicts") == 0


def test_an_apply_keeps_what_scale_set_until_it_is_reset(ready: Commands) -> None:
    assert ready("scale", "3", "6", "--namespace", "rec") == 0, ready.err
    assert apply(ready, "--image", NEW) == 0, ready.err
    assert "RayService/project-prediction keeps 3 to 6 (model), as `scale` set them; --reset-scale" in ready.out
    assert (group(ready)["minReplicas"], group(ready)["maxReplicas"], group(ready)["replicas"]) == (3, 6, 3)
    # a worker holds one classifier, and one without would never be ready
    assert (classifier(ready)["min_replicas"], classifier(ready)["max_replicas"]) == (3, 6)
    assert apply(ready, "--image", NEW) == 0
    assert "RayService/project-prediction unchanged" in ready.out
    assert apply(ready, "--image", NEW, "--reset-scale") == 0, ready.err
    assert (group(ready)["minReplicas"], group(ready)["maxReplicas"]) == (1, 2)
    assert (classifier(ready)["min_replicas"], classifier(ready)["max_replicas"]) == (1, 2)
    assert apply(ready, "--image", NEW) == 0
    assert "keeps" not in ready.out


def test_the_workers_budget_follows_the_fewest_workers(ready: Commands) -> None:
    assert apply(ready) == 0, ready.err
    name = "project-prediction-workers"
    assert ready.api.get("poddisruptionbudgets", name, "rec") is None
    assert ready("scale", "3", "6", "--namespace", "rec") == 0, ready.err
    assert held(ready, "poddisruptionbudgets", name)["spec"]["minAvailable"] == 2
    assert apply(ready) == 0, ready.err
    assert held(ready, "poddisruptionbudgets", name)["spec"]["minAvailable"] == 2
    assert ready("scale", "1", "--namespace", "rec") == 0
    assert ready.api.get("poddisruptionbudgets", name, "rec") is None


def test_a_new_cluster_starts_as_large_as_the_one_that_runs(ready: Commands) -> None:
    assert ready("scale", "1", "8", "--namespace", "rec") == 0, ready.err
    (cluster,) = (obj for obj in ready.api.state.objects.values() if obj["kind"] == "RayCluster")
    cluster["spec"]["workerGroupSpecs"][0]["replicas"] = 6  # the autoscaler's doing
    assert apply(ready, "--image", NEW) == 0, ready.err
    assert "gets a new Ray cluster of 6 workers" in ready.out
    assert group(ready)["replicas"] == 6
    assert classifier(ready)["initial_replicas"] == 6
    assert apply(ready, "--image", NEW) == 0
    assert "RayService/project-prediction unchanged" in ready.out


def test_an_edit_in_place_leaves_the_number_of_replicas_alone(ready: Commands) -> None:
    assert ready("scale", "1", "8", "--namespace", "rec") == 0, ready.err
    assert apply(ready, "--image", NEW) == 0, ready.err
    service = held(ready, "rayservices", "project-prediction")
    before = service["spec"]["serveConfigV2"]
    service["spec"]["serveConfigV2"] = before.replace("max_ongoing_requests: 5000", "max_ongoing_requests: 4000")
    assert apply(ready, "--image", NEW) == 0, ready.err
    # Serve would fall back to it from whatever runs
    assert "initial_replicas" not in held(ready, "rayservices", "project-prediction")["spec"]["serveConfigV2"]


def test_a_workload_of_the_same_name_with_another_selector_is_refused_with_the_way_out(ready: Commands) -> None:
    held(ready, "deployments", "redis-deployment")["spec"]["selector"] = {"matchLabels": {"name": "redis"}}
    assert apply(ready) == ExitCode.REJECTED
    assert "Deployment/redis-deployment is there with another selector" in ready.err
    assert "kubectl -n rec delete deployment redis-deployment" in ready.err
    assert not ready.api.sent("PATCH")


def test_a_namespace_that_may_not_be_changed_is_left_as_it_is(ready: Commands) -> None:
    said = 'namespaces "rec" is forbidden: User "student" cannot {} resource "namespaces"'
    for method, verb in (("PATCH", "patch"), ("GET", "get")):
        refuse_on_namespace(ready, method, said.format(verb))
        assert apply(ready) == 0, ready.err
        assert "Namespace/rec left as it is: not allowed" in ready.out


def refuse_on_namespace(commands: Commands, method: str, message: str) -> None:
    def matches(request: Request) -> bool:
        return request.method == method and request.path == "/api/v1/namespaces/rec"

    commands.api.refuse(matches, 403, message=message, reason="Forbidden")
