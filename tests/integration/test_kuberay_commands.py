"""apply, render, logs and delete against an API server of the test's own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kuberay.cluster import Cluster
from kuberay.errors import ExitCode
from kuberay.logs import follow
from tests.kubernetes_api.answers import APPLY
from tests.support import kubernetes_objects as objects
from tests.support.kuberay_commands import Commands
from tests.support.service import REPOSITORY


def kinds(commands: Commands) -> list[str]:
    return [request.body["kind"] for request in commands.api.sent("PATCH", APPLY)]


def test_apply_is_server_side_in_order_and_changes_nothing_the_second_time(commands: Commands) -> None:
    assert commands("apply") == 0, commands.err
    assert kinds(commands)[:4] == ["Namespace", "Secret", "ConfigMap", "Service"]
    assert sorted(kinds(commands)[4:]) == ["Deployment", "Deployment", "RayService"]
    assert {line.rpartition(" ")[2] for line in commands.out.splitlines()} == {"created"}
    for request in commands.api.sent("PATCH"):
        assert request.content_type == APPLY
        assert request.query == {"fieldManager": "kuberay-client", "force": "false"}
    before = json.dumps(sorted(map(str, commands.api.state.objects.items())))
    assert commands("apply") == 0
    assert {line.rpartition(" ")[2] for line in commands.out.splitlines()} == {"unchanged"}
    assert json.dumps(sorted(map(str, commands.api.state.objects.items()))) == before


def test_apply_with_an_image_changes_the_project_only_and_not_the_users_tree(commands: Commands) -> None:
    assert commands("apply") == 0
    tree = {path: path.read_bytes() for path in commands.overlay.parent.rglob("*") if path.is_file()}
    image = "registry.example:5000/dev/project:4d5e6f7"
    assert commands("apply", "--image", image) == 0
    changed = [line for line in commands.out.splitlines() if not line.endswith("unchanged")]
    assert changed == ["RayService/project-prediction configured"]
    service = commands.api.get("rayservices", "project-prediction")
    assert service is not None
    assert json.dumps(service["spec"]).count(image) == 2
    assert {path: path.read_bytes() for path in commands.overlay.parent.rglob("*") if path.is_file()} == tree


def test_apply_dry_run_changes_nothing(commands: Commands) -> None:
    commands.api.put({"kind": "Namespace", "metadata": {"name": "dev"}})
    assert commands("apply", "--dry-run") == 0, commands.err
    assert all(line.endswith("(dry run)") for line in commands.out.splitlines())
    assert {request.query["dryRun"] for request in commands.api.sent("PATCH")} == {"All"}
    assert set(commands.api.state.objects) == {("namespaces", "", "dev")}


def test_apply_and_wait(commands: Commands) -> None:
    commands.api.put({"kind": "Namespace", "metadata": {"name": "dev"}}, *objects.everything_up())
    assert commands("apply", "--wait", "--timeout", "1") == ExitCode.NOT_READY  # nobody reconciles generation 2
    assert "generation 1 of 2" in " ".join(commands.err.split())


def test_a_field_of_another_manager_is_a_conflict_unless_forced(commands: Commands) -> None:
    assert commands("apply") == 0
    lab = commands.api.get("deployments", "lab-api-deployment")
    assert lab is not None
    lab["spec"]["replicas"] = 3
    commands.api.state.owned["lab-api-deployment"] = ("replicas", "horizontal-pod-autoscaler")
    assert commands("apply") == ExitCode.CONFLICT
    assert ".spec.replicas" in commands.err
    assert "horizontal-pod-autoscaler" in commands.err
    assert "--force-conflicts" in commands.err
    assert commands("apply", "--force-conflicts") == 0
    after = commands.api.get("deployments", "lab-api-deployment")
    assert after is not None
    assert after["spec"]["replicas"] == 1


def test_a_missing_crd_stops_apply_and_names_the_operator(commands: Commands) -> None:
    del commands.api.state.kinds["ray.io/v1"]
    assert commands("apply") == ExitCode.CRD_MISSING
    assert "KubeRay's operator" in commands.err


@pytest.mark.parametrize(
    ("status", "reason", "message", "code"),
    [
        (403, "Forbidden", 'secrets is forbidden: User "dev" cannot patch resource "secrets"', ExitCode.FORBIDDEN),
        (403, "Forbidden", 'violates PodSecurity "restricted:latest"', ExitCode.REJECTED),
        (422, "Invalid", 'Secret is invalid: data: Invalid value: "correct-horse-battery"', ExitCode.REJECTED),
    ],
)
def test_a_refused_object_is_one_line_without_the_secret(
    commands: Commands, status: int, reason: str, message: str, code: ExitCode
) -> None:
    commands.api.refuse(
        lambda request: request.method == "PATCH" and "/secrets/" in request.path,
        status,
        message=message,
        reason=reason,
    )
    assert commands("apply") == code
    assert "Secret/redis-password" in commands.err
    assert "correct-horse" not in commands.err
    assert commands.err.count("\n") == 1


def test_render_replaces_the_values_of_secrets_without_show_secrets(commands: Commands) -> None:
    arguments = ["render", "--overlay", str(commands.overlay)]
    done = run(*arguments)
    assert done.returncode == 0
    (secret,) = [obj for obj in yaml.safe_load_all(done.stdout) if obj["kind"] == "Secret"]
    assert secret["stringData"] == {"password": "REDACTED"}
    assert base64.b64decode(secret["data"]["old"], validate=True) == b"REDACTED"
    assert "--show-secrets" in done.stderr
    shown = run(*arguments, "--show-secrets")
    assert "correct-horse-battery" in shown.stdout
    assert not shown.stderr


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kuberay", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def test_logs_of_a_role_or_of_all_hold_no_credentials(commands: Commands) -> None:
    commands.api.put(*objects.everything_up())
    for pod in ("head-1", "worker-1", "redis-1", "lab-1"):
        commands.api.state.logs[pod, "ray", False] = f"one\nredis://u:hunter2@redis of {pod}\n"
    assert commands("logs", "worker") == 0, commands.err
    assert commands.out.splitlines() == ["[worker-1] one", "[worker-1] redis://REDACTED@redis of worker-1"]
    assert commands("logs", "--tail", "1") == 0
    assert [line.partition("]")[0] for line in commands.out.splitlines()] == [
        "[head-1",
        "[lab-1",
        "[redis-1",
        "[worker-1",
    ]
    assert commands("logs", "project") == ExitCode.NOT_FOUND
    assert commands("logs", "worker", "--follow", "--previous") == ExitCode.USAGE


def test_followed_logs_come_from_pods_that_start_later_too(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kuberay.logs._LOOK_AGAIN_S", 0.05)
    commands.api.put(*objects.everything_up())
    commands.api.state.logs["worker-1", "ray", False] = "first\n"
    with Cluster(str(commands.api.kubeconfig)) as cluster:
        lines = follow(cluster, "dev", "worker", 10)
        assert next(lines) == ("worker-1", "first")
        later = objects.worker()
        later["metadata"]["name"] = "worker-2"
        commands.api.put(later)
        commands.api.state.logs["worker-2", "ray", False] = "second\n"
        assert next(lines) == ("worker-2", "second")
        lines.close()


def test_a_pod_that_starts_later_is_followed_though_another_never_stops_talking(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kuberay.logs._LOOK_AGAIN_S", 0.2)
    commands.api.put(*objects.everything_up())

    def talk(_: object, pod: str, *_arguments: object, **_options: object) -> Iterator[str]:
        if pod == "worker-2":
            yield "second"
        while True:
            time.sleep(0.02)
            yield "again"

    monkeypatch.setattr(Cluster, "logs", talk)
    with Cluster(str(commands.api.kubeconfig)) as cluster:
        lines = follow(cluster, "dev", "worker", 10)
        assert next(lines) == ("worker-1", "again")
        later = objects.worker()
        later["metadata"]["name"] = "worker-2"
        commands.api.put(later)
        end = time.monotonic() + 20
        assert any(line == ("worker-2", "second") for line in lines if time.monotonic() < end)
        lines.close()


def test_delete_asks_keeps_the_namespace_and_can_be_repeated(commands: Commands) -> None:
    assert commands("apply") == 0
    assert (
        run("delete", "--overlay", str(commands.overlay), "--kubeconfig", str(commands.api.kubeconfig)).returncode == 2
    )
    assert not commands.api.sent("DELETE")
    assert commands("delete", "--yes") == 0
    assert set(commands.api.state.objects) == {("namespaces", "", "dev")}
    assert {request.query["propagationPolicy"] for request in commands.api.sent("DELETE")} == {"Background"}
    assert commands("delete", "--yes") == 0
    assert {line.partition(" ")[2] for line in commands.out.splitlines()} == {"not there"}
    assert commands("delete", "--yes", "--namespace-too") == 0
    assert not commands.api.state.objects


def test_without_kubectl_or_the_deploy_dependencies_there_is_one_line(commands: Commands, tmp_path: Path) -> None:
    done = run("render", "--overlay", str(commands.overlay), PATH=str(tmp_path))
    assert done.returncode == ExitCode.RENDER
    assert done.stderr == "error: kubectl is not installed; rendering needs `kubectl kustomize`\n"
    (tmp_path / "kubernetes.py").write_text("raise ModuleNotFoundError(name='kubernetes')\n")
    done = run("status", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "error: kubernetes is not installed here; `make deploy-tools` installs what deploying needs\n"


@pytest.mark.parametrize("image", ["project", "project:latest", "registry.example:5000/project"])
def test_an_image_without_a_fixed_tag_is_refused(commands: Commands, image: str) -> None:
    assert commands("apply", "--image", image) == ExitCode.USAGE
    assert "needs a tag that is not latest" in commands.err
    assert not commands.api.state.requests


def test_an_image_that_the_overlay_leaves_open_must_be_given(commands: Commands) -> None:
    file = commands.overlay / "kustomization.yaml"
    file.write_text(file.read_text().replace("newTag: v1", "newTag: set-by-deploy"))
    assert commands("apply") == ExitCode.USAGE
    assert "Deployment/lab-api-deployment has no image yet" in commands.err
    assert "--lab-image" in commands.err
    assert not commands.api.state.requests
    assert commands("apply", "--lab-image", "registry.example/dev/lab:v2") == 0
    lab = commands.api.get("deployments", "lab-api-deployment")
    assert lab is not None
    assert lab["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/dev/lab:v2"


def test_discovery_asks_only_for_the_groups_that_are_needed(commands: Commands) -> None:
    commands.api.put(*objects.everything_up())
    assert commands("status") == 0
    asked = [request.path for request in commands.api.sent("GET") if "/namespaces/" not in request.path]
    assert sorted(asked) == ["/api/v1", "/apis", "/apis/apps/v1", "/apis/ray.io/v1", "/version"]
