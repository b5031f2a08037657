"""delete: traffic first, policies last, and nobody is told that pods are gone while they serve."""

from __future__ import annotations

import threading

import pytest

from kuberay.delete import to_delete
from kuberay.errors import ExitCode
from tests import kubernetes_states
from tests.support.kuberay_commands import Commands


@pytest.fixture
def ready(commands: Commands) -> Commands:
    commands.overlay = "local"  # type: ignore[assignment]  # by its name
    kubernetes_states.put(commands.api, "ready")
    assert commands("apply", "--namespace", "rec") == 0, commands.err
    return commands


def ray_objects(commands: Commands) -> list[tuple[str, str, str]]:
    return [key for key in commands.api.state.objects if key[0] in ("pods", "rayclusters")]


def test_delete_waits_for_the_pods_and_takes_the_policies_last(
    ready: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kuberay.delete._POLL_S", 0.05)
    asked = threading.Event()

    def end_pods() -> None:
        """The garbage collector's part, once the service is deleted and the client waits."""
        assert asked.wait(20)
        with ready.api.lock:
            for key in ray_objects(ready):
                del ready.api.state.objects[key]

    def sees_pods(request: object) -> bool:
        if ready.api.sent("DELETE") and "/pods" in getattr(request, "path", ""):
            assert ready.api.get("networkpolicies", "project-prediction", "rec")
            asked.set()
        return False

    ready.api.refuse(sees_pods, 500, message="", reason="")
    collector = threading.Thread(target=end_pods)
    collector.start()
    assert ready("delete", "--yes", "--namespace", "rec") == 0, ready.err
    collector.join()
    assert "waiting for" in ready.err
    order = [request.path.split("/")[-2] for request in ready.api.sent("DELETE")]
    assert order.index("rayservices") < order.index("deployments")
    assert all(order.index(kind) < order.index("networkpolicies") for kind in set(order) - {"networkpolicies"})


def test_pods_that_stay_end_it_with_their_names_and_keep_the_policies(
    ready: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kuberay.delete._POLL_S", 0.05)
    assert ready("delete", "--yes", "--namespace", "rec", "--timeout", "1") == ExitCode.NOT_READY
    assert "project-prediction-5wvzb" in ready.err
    assert ready.api.get("networkpolicies", "project-prediction", "rec")


def test_pods_of_others_are_not_waited_for(ready: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kuberay.delete._POLL_S", 0.05)
    for key in ray_objects(ready):
        del ready.api.state.objects[key]
    theirs = [{"app": "lab"}, {"app": "redis"}, {"ray.io/cluster": "project-score-1a2b3c4d-x7k2p"}]
    for number, labels in enumerate(theirs):
        meta = {"name": f"foreign-{number}", "namespace": "rec", "labels": labels}
        owner = {"kind": "ReplicaSet", "name": "their-redis-5d9c", "controller": True}
        ready.api.put({"kind": "Pod", "metadata": {**meta, "ownerReferences": [owner]}, "status": {"phase": "Running"}})
    assert ready("delete", "--yes", "--namespace", "rec", "--timeout", "5") == 0, ready.err


def test_lab_that_apply_has_added_goes_too(ready: Commands) -> None:
    lab = ("--lab-image", "registry.example/lab:1")
    assert ready("apply", "--namespace", "rec", *lab) == 0, ready.err
    lab_objects = [obj for key, obj in ready.api.state.objects.items() if key[2] == "lab-api-deployment"]
    assert lab_objects
    for obj in lab_objects:  # a real server does so at the apply
        obj["metadata"]["managedFields"] = [{"manager": "kuberay-client", "operation": "Apply"}]
    assert ready("delete", "--yes", "--namespace", "rec", "--no-wait") == 0, ready.err
    assert not ready.api.get("deployments", "lab-api-deployment", "rec")


def test_lab_of_others_stays(ready: Commands) -> None:
    meta = {"name": "lab-api-deployment", "namespace": "rec", "managedFields": [{"manager": "kubectl"}]}
    ready.api.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {}})
    assert ready("delete", "--yes", "--namespace", "rec", "--no-wait") == 0, ready.err
    assert ready.api.get("deployments", "lab-api-deployment", "rec")


def test_a_priority_class_stays_for_other_namespaces() -> None:
    objects = [{"kind": kind, "metadata": {"name": "x"}} for kind in ("Namespace", "PriorityClass", "Service")]
    assert [obj["kind"] for obj in to_delete(objects, namespace_too=True)] == ["Service", "Namespace"]


def test_without_waiting_all_goes_at_once(ready: Commands) -> None:
    assert ready("delete", "--yes", "--namespace", "rec", "--no-wait") == 0, ready.err
    assert not [key for key in ready.api.state.objects if key[0] == "networkpolicies"]
