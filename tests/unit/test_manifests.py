"""What holds for the Kubernetes manifests of every overlay: the contract's names, and nothing careless."""

from __future__ import annotations

import filecmp
import os
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from serve_app import haproxy
from serve_app.local.__main__ import DEFAULTS
from tests.manifests import KUBERAY, OVERLAYS, Manifest, containers, of_kind, pod_templates, rendered
from tests.service import REPOSITORY

PORT = 8000
BUILT_IN = re.compile(r"^(v1|(apps|autoscaling|policy|networking\.k8s\.io)/.*)$")
RESTRICTED = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_ray_overlay = pytest.mark.parametrize("overlay", ["local", "prod"])


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
    assert ports["lab-prediction-service"] == [PORT]
    assert ports["redis-service"] == [6379]
    if overlay == "course":
        assert ports["project-prediction-service"] == [PORT]
    assert all(each["spec"]["type"] == "ClusterIP" for name, each in services.items() if "nodeport" not in name)


@each_ray_overlay
def test_the_ray_service_has_the_contracts_names(overlay: str) -> None:
    (service,) = of_kind(overlay, "RayService").values()
    assert service["metadata"]["name"] == "project-prediction"
    served = service["spec"]["serveService"]
    assert served["metadata"]["name"] == "project-prediction-service"
    # the operator keeps only ports whose name begins with "serve", and puts the rest in from the head's own
    assert [(port["name"], port["port"]) for port in served["spec"]["ports"]] == [("serve", PORT)]


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


@each_overlay
def test_pods_wait_for_the_name_and_then_for_the_server_of_redis(overlay: str) -> None:
    waiting = [
        [(init["name"], init["image"]) for init in template["spec"]["initContainers"]]
        for _, template in pod_templates(overlay)
        if template["spec"].get("initContainers")
    ]
    wanted = ["init-verify-redis-service-dns", "init-verify-redis-ready"]
    assert len(waiting) == 2  # lab's, and the project's
    for pod in waiting:
        assert [name for name, _ in pod] == wanted
        assert all(re.fullmatch(r"busybox:\d+\.\d+\.\d+", image) for _, image in pod)


@each_overlay
def test_project_and_lab_know_redis_by_a_url_without_a_password_in_it(overlay: str) -> None:
    urls = [
        re.sub(r"\$\((CACHE_)?REDIS_PASSWORD\)", "$(SECRET)", variable["value"])
        for _, template in pod_templates(overlay)
        for container in containers(template)
        for variable in container.get("env", [])
        if variable["name"] == "REDIS_URL"
    ]
    assert set(urls) == {"redis://:$(SECRET)@redis-service:6379/0"}
    assert len(urls) == {"course": 2}.get(overlay, 3)


def test_the_course_probes_health_three_ways() -> None:
    for name, path in (("project-api-deployment", "/project/health"), ("lab-api-deployment", "/lab/health")):
        (container,) = of_kind("course", "Deployment")[name]["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["path"] == path
            assert container[probe]["timeoutSeconds"] >= 1


@each_overlay
def test_every_container_is_restricted_and_limited(overlay: str) -> None:
    for name, template in pod_templates(overlay):
        for container in containers(template):
            where = f"{name}/{container['name']}"
            security = container["securityContext"]
            assert {key: security[key] for key in RESTRICTED} == RESTRICTED, where
            assert security["runAsUser"] > 0, where
            for kind in ("requests", "limits"):
                assert set(container["resources"][kind]) == {"cpu", "memory"}, where
            memory = {container["resources"][kind]["memory"] for kind in ("requests", "limits")}
            assert len(memory) == 1, f"{where}: memory that is not requested may be taken back by a kill"


@each_overlay
def test_no_pod_holds_a_token_that_it_does_not_need(overlay: str) -> None:
    for name, template in pod_templates(overlay):
        if name.endswith(" head"):
            continue  # the autoscaler beside it asks the API server for pods
        assert template["spec"]["automountServiceAccountToken"] is False, name


@each_overlay
def test_the_namespace_allows_restricted_pods_only(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_overlay
def test_everything_is_in_the_overlays_one_namespace(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace")
    for manifest in rendered(overlay):
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == namespace, manifest["metadata"]["name"]


@each_overlay
def test_images_have_a_tag_that_says_which(overlay: str) -> None:
    images = [container["image"] for _, template in pod_templates(overlay) for container in containers(template)]
    assert images
    for image in images:
        tag = image.rpartition("/")[2].partition(":")[2]
        assert tag, image
        assert tag != "latest", image


def test_an_image_or_a_namespace_is_named_once() -> None:
    for overlay in OVERLAYS:
        text = (KUBERAY / "overlays" / overlay / "kustomization.yaml").read_text(encoding="utf-8")
        kustomization = yaml.safe_load(text)
        assert sorted(image["name"] for image in kustomization["images"]) == ["lab", "project"]
        assert text.count("namespace:") == 1


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
        if wanted is not None:
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
    text = of_kind(overlay, "ConfigMap")["redis-config"]["data"]["redis.conf"]
    settings = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert settings["maxmemory-policy"] == "allkeys-lru"
    assert settings["appendonly"] == "no"
    assert settings["save"] == '""'
    (redis,) = of_kind(overlay, "Deployment")["redis-deployment"]["spec"]["template"]["spec"]["containers"]
    limit = int(redis["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert int(settings["maxmemory"].removesuffix("mb")) <= 0.8 * limit


@each_overlay
def test_rays_ports_are_closed_to_others(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    for rule in _rules_from_outside(policies):
        ports = {port["port"] for port in rule.get("ports", [])}
        assert ports, "a rule for others that names no port opens all"
        assert ports <= {PORT, 6379, 8080, 8265, 9101, 44217, 44227}
    gateway = policies.get("from-gateway", policies.get("from-nodeport"))
    assert gateway is not None
    assert [port["port"] for port in gateway["spec"]["ingress"][0]["ports"]] == [PORT]


@each_ray_overlay
def test_only_the_head_may_be_asked_by_the_operator_and_ask_the_api_server(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    head = policies.pop("project-prediction-head")["spec"]
    assert head["podSelector"]["matchLabels"]["ray.io/node-type"] == "head"
    assert {port["port"] for port in head["egress"][0]["ports"]} == {443, 6443}
    for name, policy in policies.items():
        for rule in policy["spec"].get("egress", []):
            assert "to" in rule or {port["port"] for port in rule["ports"]} == {53}, name
        for rule in policy["spec"].get("ingress", []):
            assert 8265 not in {port["port"] for port in rule.get("ports", [])}, name


@each_ray_overlay
def test_one_ray_pod_at_least_survives_a_drain(overlay: str) -> None:
    # of pods that no Deployment owns, the budget controller counts only by a whole minAvailable
    (spec,) = (
        each["spec"] for name, each in of_kind(overlay, "PodDisruptionBudget").items() if name.startswith("project")
    )
    assert type(spec["minAvailable"]) is int
    assert "maxUnavailable" not in spec


def _rules_from_outside(policies: dict[str, Manifest]) -> list[Manifest]:
    own = {"podSelector": {"matchLabels": {"app": "project-prediction"}}}
    return [
        rule for policy in policies.values() for rule in policy["spec"].get("ingress", []) if rule.get("from") != [own]
    ]


def test_serve_config_is_the_one_that_runs_locally() -> None:
    copy = KUBERAY / "components" / "rayservice" / "serve_config.yaml"
    assert filecmp.cmp(REPOSITORY / "serve_config.yaml", copy, shallow=False), "run: make manifests"


def test_a_laptops_serve_config_differs_in_bounds_only() -> None:
    def without_bounds(text: str) -> str:
        return re.sub(r"((?:min|max)_replicas:).*", r"\1", text)

    laptop = (KUBERAY / "overlays" / "local" / "serve_config.yaml").read_text(encoding="utf-8")
    source = (REPOSITORY / "serve_config.yaml").read_text(encoding="utf-8")
    assert without_bounds(laptop) == without_bounds(source), "run: make manifests"


@each_ray_overlay
def test_workers_have_room_for_every_classifier_that_serve_may_want(overlay: str) -> None:
    (service,) = of_kind(overlay, "RayService").values()
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    cpus = 0.0
    for deployment in application["deployments"]:
        bounds = deployment["autoscaling_config"]
        cpus += bounds["max_replicas"] * deployment["ray_actor_options"]["num_cpus"]
        if deployment.get("max_replicas_per_node") == 1:
            # a worker without a replica is never ready, and a replica without a worker never runs
            assert (group["minReplicas"], group["maxReplicas"]) == (bounds["min_replicas"], bounds["max_replicas"])
    assert group["maxReplicas"] * int(group["rayStartParams"]["num-cpus"]) >= cpus


def test_the_quota_has_room_for_an_upgrade_at_full_size_and_not_for_much_more() -> None:
    (service,) = of_kind("prod", "RayService").values()
    cluster = service["spec"]["rayClusterConfig"]
    (group,) = cluster["workerGroupSpecs"]
    autoscaler = cluster["autoscalerOptions"]["resources"]["requests"]
    pods = [(2, cluster["headGroupSpec"]["template"]), (2 * group["maxReplicas"], group["template"])]
    most = {each["spec"]["scaleTargetRef"]["name"]: each["spec"]["maxReplicas"] for each in _scalers("prod")}
    for kind in ("Deployment", "StatefulSet"):
        for name, each in of_kind("prod", kind).items():
            pods.append((most.get(name, each["spec"].get("replicas", 1)) + 1, each["spec"]["template"]))
    needed = {"cpu": 2 * _amount(autoscaler["cpu"]), "memory": 2 * _amount(autoscaler["memory"])}
    for count, template in pods:
        for container in template["spec"]["containers"]:
            for resource in needed:
                needed[resource] += count * _amount(container["resources"]["requests"][resource])
    (quota,) = (each["spec"]["hard"] for each in of_kind("prod", "ResourceQuota").values())
    for resource, amount in needed.items():
        assert amount <= _amount(quota[f"requests.{resource}"]) <= 1.4 * amount, resource
    assert quota["limits.memory"] == quota["requests.memory"]
    assert int(quota["pods"]) >= sum(count for count, _ in pods)


def _scalers(overlay: str) -> list[Manifest]:
    return list(of_kind(overlay, "HorizontalPodAutoscaler").values())


def _amount(quantity: str) -> float:
    """CPUs, or bytes."""
    units = {"m": 1e-3, "Mi": 2**20, "Gi": 2**30}
    number, unit = re.fullmatch(r"([\d.]+)(m|Mi|Gi)?", quantity).groups()  # type: ignore[union-attr]
    return float(number) * units.get(unit, 1)


@each_ray_overlay
def test_serve_config_arrives_in_the_ray_service(overlay: str) -> None:
    (service,) = of_kind(overlay, "RayService").values()
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    source = {"local": KUBERAY / "overlays" / "local", "prod": REPOSITORY}[overlay] / "serve_config.yaml"
    assert config == yaml.safe_load(source.read_text(encoding="utf-8"))
    ServeDeploySchema.model_validate(config)
    assert config["http_options"]["port"] == PORT
    assert config["proxy_location"] == "EveryNode"  # a worker without a proxy would never be ready


@each_ray_overlay
def test_the_ray_cluster_is_set_as_the_operator_needs_it(overlay: str) -> None:
    (service,) = of_kind(overlay, "RayService").values()
    assert service["spec"]["upgradeStrategy"] == {"type": "NewCluster"}
    assert service["spec"]["excludeHeadPodFromServeSvc"] is True
    cluster = service["spec"]["rayClusterConfig"]
    locked = tomllib.loads((REPOSITORY / "poetry.lock").read_text(encoding="utf-8"))["package"]
    assert cluster["rayVersion"] == next(package["version"] for package in locked if package["name"] == "ray")
    assert cluster["authOptions"] == {"mode": "token", "secretName": "project-ray-token"}
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert {key: cluster["autoscalerOptions"]["securityContext"][key] for key in RESTRICTED} == RESTRICTED
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    (group,) = cluster["workerGroupSpecs"]
    (worker,) = group["template"]["spec"]["containers"]
    assert worker["readinessProbe"]["httpGet"] == {"path": "/-/healthz", "port": "serve"}
    pause = int(worker["lifecycle"]["preStop"]["exec"]["command"][-1].split()[-1])
    assert group["template"]["spec"]["terminationGracePeriodSeconds"] > pause
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@each_ray_overlay
def test_head_and_workers_run_serve_as_a_laptop_does(overlay: str) -> None:
    shared = ("RAY_SERVE_", "RAY_worker_niceness", "MALLOC_ARENA_MAX")
    wanted = {name: value for name, value in DEFAULTS.items() if name.startswith(shared)}
    for name, template in pod_templates(overlay):
        if "RayService" in name:
            (container,) = template["spec"]["containers"]
            env = {variable["name"]: variable.get("value") for variable in container["env"]}
            assert {key: env.get(key) for key in wanted} == wanted, name
            script = REPOSITORY / Path(env["RAY_SERVE_HAPROXY_BINARY_PATH"]).relative_to("/app")  # the image's WORKDIR
            assert script.name == Path(haproxy.__file__).name, name
            assert os.access(script, os.X_OK), name
            # the operator refuses the first on every head, the others beside GCS fault tolerance
            refused = {"REDIS_USERNAME", "REDIS_PASSWORD", "RAY_REDIS_ADDRESS", "RAY_REDIS_PASSWORD"}
            assert not refused & env.keys(), name
            # an emptyDir at /tmp/ray would hide the autoscaler's
            assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]  # noqa: S108
