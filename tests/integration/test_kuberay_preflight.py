"""What a cluster lacks, said before anything is written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kuberay.errors import ExitCode
from tests.support.kuberay_commands import Commands
from tests.support.kubernetes_objects import Object, pod
from tests.support.manifests import KUBERAY

ARGUMENTS = ("--image", "registry.example/team/project:1", "--lab-image", "registry.example/team/lab:1")


@pytest.fixture
def prod(commands: Commands) -> Commands:
    """A cluster that has everything, and the overlay prod."""
    commands.overlay = "prod"  # type: ignore[assignment]  # by its name
    api = commands.api
    operator = pod("kuberay-operator-1", {"app.kubernetes.io/component": "kuberay-operator"})
    operator["metadata"]["namespace"] = "default"
    allocatable = {"allocatable": {"cpu": "64", "memory": "256Gi"}}
    api.put({"kind": "Namespace", "metadata": {"name": "project"}}, operator)
    api.put({"kind": "Node", "metadata": {"name": "node1"}, "spec": {}, "status": allocatable})
    for name, key in (("redis-auth", "password"), ("gcs-redis-auth", "password"), ("project-ray-token", "auth_token")):
        api.put({"kind": "Secret", "metadata": {"name": name, "namespace": "project"}, "data": {key: "eA=="}})
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    api.put({"kind": "StorageClass", "metadata": {"name": "gp3", "annotations": annotations}})
    api.put(daemon_set("calico-node"), gateway("ingressgateway"))
    return commands


def daemon_set(name: str, *arguments: str) -> Object:
    template = {"spec": {"containers": [{"name": "agent", "args": list(arguments)}]}}
    return {
        "kind": "DaemonSet",
        "apiVersion": "apps/v1",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"template": template},
    }


def gateway(label: str) -> Object:
    meta = {"name": "project-gateway", "namespace": "istio-system"}
    return {"kind": "Gateway", "metadata": meta, "spec": {"selector": {"istio": label}}}


def lines(commands: Commands) -> list[str]:
    return [line for line in commands.out.splitlines() if not line.startswith("unknown")]


def test_a_cluster_that_has_everything_passes_and_nothing_is_written(prod: Commands) -> None:
    assert prod("preflight") == 0, prod.out
    assert lines(prod) == [
        f"http://127.0.0.1:{prod.api.server_port} has all that the overlay prod needs, as far as that can be checked"
    ]
    assert not prod.api.sent("PATCH")


def remove(commands: Commands, plural: str, name: str) -> None:
    for key in [key for key in commands.api.state.objects if key[0] == plural and key[2] == name]:
        del commands.api.state.objects[key]


def test_each_thing_that_is_wanting_is_a_line_with_the_way_out(prod: Commands) -> None:
    remove(prod, "secrets", "gcs-redis-auth")
    secret = prod.api.get("secrets", "redis-auth", "project")
    assert secret is not None
    secret["data"] = {"pass": "eA=="}
    remove(prod, "storageclasses", "gp3")
    del prod.api.state.kinds["metrics.k8s.io/v1beta1"]
    remove(prod, "daemonsets", "calico-node")
    prod.api.put(daemon_set("aws-node", "--enable-network-policy=false"), gateway("other"))
    node = prod.api.get("nodes", "node1", "")
    assert node is not None
    node["status"]["allocatable"]["cpu"] = "6"
    remove(prod, "pods", "kuberay-operator-1")
    prod.api.put(pod("coredns-1", {"k8s-app": "kube-dns"}))
    assert prod("preflight") == 0, prod.out
    text = "\n".join(lines(prod))
    for words in (
        "warning: Secret/gcs-redis-auth is not there; `kubectl -n project create secret generic gcs-redis-auth",
        "warning: Secret/redis-auth has no key password",
        "warning: no StorageClass is the default (there are: none)",
        "warning: the cluster has no metrics server",
        "warning: EKS' VPC CNI accepts NetworkPolicies and enforces none",
        "warning: the pods of Gateway istio-system/project-gateway (istio=other) are not let in",
        "warning: an upgrade runs two Ray clusters and asks for",
        "warning: KubeRay's operator runs nowhere",
    ):
        assert words in text
    assert text.count("\n") == 7


def test_optional_keys_of_the_cache_are_asked_for_by_overlays_that_use_them(prod: Commands, tmp_path: Path) -> None:
    secret = prod.api.get("secrets", "redis-auth", "project")
    assert secret is not None
    copy = tmp_path / "kuberay"
    shutil.copytree(KUBERAY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    mine = copy / "overlays" / "mine"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text("resources: [../prod]\ncomponents: [../../components/redis-users]\n")
    prod.overlay = mine
    assert prod("preflight") == 0, prod.out
    (line,) = lines(prod)
    assert line.startswith("warning: Secret/redis-auth has no key lab-password, project-password; `kubectl -n project ")
    patch = re.findall(r"-p (.*)` adds it$", line)[0]
    echoed = subprocess.run(["sh", "-c", f"echo {patch}"], capture_output=True, text=True, check=True).stdout
    assert json.loads(echoed)["stringData"].keys() == {"lab-password", "project-password"}
    secret["data"] |= {"project-password": "eA==", "lab-password": "eA==", "value-key": "eA=="}
    assert prod("preflight") == 0, prod.out
    assert "warning" not in prod.out
    prod.overlay = "prod"  # type: ignore[assignment]  # by its name
    assert prod("preflight") == 0, prod.out
    (line,) = lines(prod)
    assert line.startswith("warning: Secret/redis-auth has lab-password, project-password, and services go on with ")


def test_a_certain_fault_blocks_the_apply_unless_an_option_skips_the_check(prod: Commands) -> None:
    prod.api.state.forbidden = {("patch", "networkpolicies")}
    assert prod("preflight") == ExitCode.FORBIDDEN
    assert "fault: you may not patch networkpolicies in namespace project" in prod.out
    assert prod("apply", *ARGUMENTS, "--host", "a.example.org", "--gateway", "x/y") == ExitCode.FORBIDDEN
    assert "nothing was applied" in prod.err
    assert not prod.api.sent("PATCH")
    assert prod("apply", *ARGUMENTS, "--host", "a.example.org", "--gateway", "x/y", "--no-preflight") == 0, prod.err


def test_an_operator_whose_crd_lacks_a_field_is_too_old(prod: Commands) -> None:
    anything = {"x-kubernetes-preserve-unknown-fields": True}
    group = {"items": anything, "type": "array"}
    auth: Object = {"properties": {"mode": {}}}
    config: Object = {"properties": {"authOptions": auth, "workerGroupSpecs": group, "headGroupSpec": anything}}
    config["properties"] |= dict.fromkeys(
        ("autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "rayVersion"), anything
    )
    names = ("excludeHeadPodFromServeSvc", "rayClusterDeletionDelaySeconds", "serveConfigV2", "serveService")
    spec = {"properties": {"rayClusterConfig": config, "upgradeStrategy": anything, **dict.fromkeys(names, anything)}}
    root = {"properties": {"spec": spec, "metadata": anything, "kind": {}, "apiVersion": {}}}
    prod.api.state.schemas = {"io.ray.v1.RayService": root}
    assert prod("apply", *ARGUMENTS) == ExitCode.OPERATOR
    assert (
        "KubeRay's operator is too old: its RayService has no spec.rayClusterConfig.authOptions.secretName" in prod.err
    )
    assert not prod.api.sent("PATCH")
    config["properties"]["authOptions"] = anything
    assert prod("preflight") == 0, prod.out


def test_what_the_caller_may_not_ask_is_unknown_and_blocks_nothing(prod: Commands) -> None:
    def of_the_cluster(path: str) -> bool:
        return "/namespaces/project/" not in path and path.rpartition("/")[2] in {
            "pods",
            "nodes",
            "daemonsets",
            "storageclasses",
            "secrets",
            "selfsubjectaccessreviews",
            "gateways",
        }

    prod.api.refuse(lambda request: of_the_cluster(request.path), 403, message="no", reason="Forbidden")
    assert prod("preflight") == 0
    assert not [line for line in lines(prod) if line.startswith(("fault", "warning"))]
    assert prod("apply", *ARGUMENTS, "--host", "a.example.org", "--gateway", "x/y") == 0, prod.err


def test_a_namespace_that_nobody_made_is_asked_for_with_its_command(commands: Commands) -> None:
    commands.overlay = "course"  # type: ignore[assignment]  # by its name
    assert commands("apply", *ARGUMENTS) == ExitCode.NOT_FOUND
    assert "namespace course is not there; `kubectl create namespace course` makes it" in commands.err
    assert not commands.api.sent("PATCH")
