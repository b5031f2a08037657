"""What holds for the Kubernetes manifests of every overlay: the contract's names, and objects that fit together."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.manifests import (
    KUBERAY,
    OVERLAYS,
    PORT,
    containers,
    each_overlay,
    each_ray_overlay,
    of_kind,
    pod_templates,
    rendered,
)

BUILT_IN = re.compile(r"^(v1|(apps|autoscaling|policy|networking\.k8s\.io)/.*)$")


@each_overlay
def test_kubernetes_own_kinds_are_valid_to_the_last_field(overlay: str) -> None:
    for manifest in rendered(overlay):
        if BUILT_IN.match(manifest["apiVersion"]):
            kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_the_course_gets_the_objects_it_counts() -> None:
    counts = Counter(manifest["kind"] for manifest in rendered("course"))
    wanted = {"Service": 3, "Deployment": 3, "HorizontalPodAutoscaler": 2, "VirtualService": 1}
    assert {kind: counts[kind] for kind in wanted} == wanted
    assert set(of_kind("course", "Deployment")) == {
        "project-api-deployment",
        "lab-api-deployment",
        "redis-deployment",
    }


@each_overlay
def test_services_have_the_contracts_names_and_ports(overlay: str) -> None:
    services = of_kind(overlay, "Service")
    ports = {name: [port["port"] for port in each["spec"]["ports"]] for name, each in services.items()}
    assert ports.get("lab-prediction-service") == (None if overlay == "local" else [PORT])
    assert ports["redis-service"] == [6379]
    assert ports["project-prediction-service"] == [PORT]
    assert all(each["spec"]["type"] == "ClusterIP" for name, each in services.items() if "nodeport" not in name)


@pytest.mark.parametrize("overlay", ["prod", "course"])
def test_one_virtual_service_routes_both_paths_by_name(overlay: str) -> None:
    (route,) = of_kind(overlay, "VirtualService").values()
    assert route["metadata"]["name"] == "external-access"
    assert "invalid" not in route["spec"]["hosts"][0]
    targets = {
        match["uri"].get("prefix") or match["uri"]["exact"]: http["route"][0]["destination"]
        for http in route["spec"]["http"]
        for match in http["match"]
    }
    project = {"host": "project-prediction-service", "port": {"number": PORT}}
    lab = {"host": "lab-prediction-service", "port": {"number": PORT}}
    assert targets == {"/project": project, "/project/": project, "/lab": lab, "/lab/": lab}


@each_ray_overlay
def test_the_namespace_allows_restricted_pods_only(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_overlay
def test_everything_is_in_the_overlays_one_namespace(overlay: str) -> None:
    namespace = {"local": "project", "prod": "project", "course": "course"}[overlay]
    for manifest in rendered(overlay):
        if manifest["kind"] == "Namespace":
            assert manifest["metadata"]["name"] == namespace
        elif manifest["kind"] != "PriorityClass":
            assert manifest["metadata"]["namespace"] == namespace, manifest["metadata"]["name"]


def test_a_student_may_apply_the_course() -> None:
    # what the course's Role covers: "", apps, networking.istio.io, autoscaling; no namespaces, policies or budgets
    allowed = {"ConfigMap", "Service", "Deployment", "HorizontalPodAutoscaler", "VirtualService"}
    assert {manifest["kind"] for manifest in rendered("course")} <= allowed


def test_an_image_or_a_namespace_is_named_once() -> None:
    for overlay in OVERLAYS:
        text = (KUBERAY / "overlays" / overlay / "kustomization.yaml").read_text(encoding="utf-8")
        kustomization = yaml.safe_load(text)
        wanted = ["project"] if overlay == "local" else ["lab", "project"]
        assert sorted(image["name"] for image in kustomization["images"]) == wanted
        assert len(re.findall(r"^namespace:", text, re.MULTILINE)) == 1


@each_overlay
def test_selectors_find_their_pods(overlay: str) -> None:
    labels = [template["metadata"]["labels"] for _, template in pod_templates(overlay)]
    ray = [{**each, "ray.io/node-type": kind, "ray.io/serve": "true"} for each in labels for kind in ("head", "worker")]
    for manifest in rendered(overlay):
        spec: dict[str, Any] = manifest.get("spec", {})
        wanted = None
        if manifest["kind"] == "Service":
            wanted = spec["selector"]
        elif manifest["kind"] in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
            wanted = spec["selector"]["matchLabels"]
        elif manifest["kind"] == "NetworkPolicy" and spec["podSelector"].get("matchLabels"):
            wanted = spec["podSelector"]["matchLabels"]
        if wanted is not None and wanted != {"app": "lab"}:  # closed before lab is there
            assert any(wanted.items() <= each.items() for each in ray), manifest["metadata"]["name"]


@each_overlay
def test_service_ports_are_ports_of_their_pods(overlay: str) -> None:
    named = {
        port["name"]
        for _, template in pod_templates(overlay)
        for container in containers(template)
        for port in container.get("ports", [])
    }
    numbers = {
        port["containerPort"]
        for _, template in pod_templates(overlay)
        for container in containers(template)
        for port in container.get("ports", [])
    }
    for service in of_kind(overlay, "Service").values():
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in (named if isinstance(port["targetPort"], str) else numbers)


@each_overlay
def test_scalers_scale_what_there_is(overlay: str) -> None:
    for scaler in of_kind(overlay, "HorizontalPodAutoscaler").values():
        target = scaler["spec"]["scaleTargetRef"]
        assert target["name"] in of_kind(overlay, target["kind"])
        # a number of replicas would be reset by every apply
        assert "replicas" not in of_kind(overlay, target["kind"])[target["name"]]["spec"]


@each_overlay
def test_disruption_budgets_are_whole_numbers(overlay: str) -> None:
    for budget in of_kind(overlay, "PodDisruptionBudget").values():
        bound = budget["spec"].get("minAvailable", budget["spec"].get("maxUnavailable"))
        assert isinstance(bound, int)


def test_secrets_are_made_by_hand_but_on_a_laptop() -> None:
    for overlay in ("prod", "course"):
        assert not of_kind(overlay, "Secret")
    assert of_kind("local", "Secret")


@each_overlay
def test_redis_is_a_cache_below_its_memory_limit(overlay: str) -> None:
    (config,) = (each for name, each in of_kind(overlay, "ConfigMap").items() if name.startswith("redis-config-"))
    lines = [line for line in config["data"]["redis.conf"].splitlines() if not line.startswith("#")]
    settings = dict(line.split(maxsplit=1) for line in lines)
    assert settings["maxmemory-policy"] == "allkeys-lru"
    assert settings["appendonly"] == "no"
    assert settings["save"] == '""'
    spec = of_kind(overlay, "Deployment")["redis-deployment"]["spec"]["template"]["spec"]
    (redis,) = spec["containers"]
    # the name holds a hash of the content, so an edit starts redis anew
    assert spec["volumes"][0]["configMap"]["name"] == config["metadata"]["name"]
    limit = int(redis["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert int(settings["maxmemory"].removesuffix("mb")) <= 0.8 * limit


@each_overlay
def test_no_policy_has_an_empty_list_that_the_server_drops(overlay: str) -> None:
    # it would be added anew, and counted as a change, by every apply
    for name, policy in of_kind(overlay, "NetworkPolicy").items():
        assert [] not in policy["spec"].values(), name
