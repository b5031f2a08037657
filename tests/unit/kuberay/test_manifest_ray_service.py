"""The RayService: what the operator needs, and that it serves what runs locally."""

from __future__ import annotations

import filecmp
import os
import re
import tomllib
from pathlib import Path

import yaml
from ray.serve.schema import ServeDeploySchema

from kuberay import bounds
from kuberay.preflight import room
from serve_app import haproxy
from serve_app.local.environment import DEFAULTS
from tests.support.manifests import KUBERAY, PORT, RESTRICTED, each_ray_overlay, of_kind, pod_templates, rendered
from tests.support.service import REPOSITORY


@each_ray_overlay
def test_the_ray_service_has_the_contracts_names(overlay: str) -> None:
    (service,) = of_kind(overlay, "RayService").values()
    assert service["metadata"]["name"] == "project-prediction"
    served = service["spec"]["serveService"]
    assert served["metadata"]["name"] == "project-prediction-serve"
    # the operator keeps only ports whose name begins with "serve", and puts the rest in from the head's own
    assert [(port["name"], port["port"]) for port in served["spec"]["ports"]] == [("serve", PORT)]


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
def test_serve_config_arrives_in_the_ray_service(overlay: str) -> None:
    (service,) = of_kind(overlay, "RayService").values()
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    source = {"local": KUBERAY / "overlays" / "local", "prod": REPOSITORY}[overlay] / "serve_config.yaml"
    assert config == yaml.safe_load(source.read_text(encoding="utf-8"))
    ServeDeploySchema.model_validate(config)
    assert config["http_options"]["port"] == PORT
    assert config["proxy_location"] == "EveryNode"  # a worker without a proxy would never be ready


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


def test_the_workers_budget_is_a_whole_number_and_none_for_one_worker() -> None:
    # of pods that no Deployment owns, the budget controller counts only by a whole minAvailable
    for overlay, least in (("local", 1), ("prod", 2)):
        (service,) = of_kind(overlay, "RayService").values()
        (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        assert group["minReplicas"] == least
        budgets = of_kind(overlay, "PodDisruptionBudget")
        assert ("project-prediction-workers" in budgets) is (least > 1)
        if least > 1:
            spec = budgets["project-prediction-workers"]["spec"]
            assert spec == bounds.budget("project", least)["spec"]
            assert type(spec["minAvailable"]) is int


@each_ray_overlay
def test_callers_use_a_service_of_our_own_over_the_workers_of_all_clusters(overlay: str) -> None:
    service = of_kind(overlay, "Service")["project-prediction-service"]
    assert service["spec"]["selector"] == {
        "app": "project-prediction",
        "ray.io/node-type": "worker",
        "ray.io/serve": "true",
    }
    assert service["spec"]["ports"] == [{"name": "serve", "port": PORT, "targetPort": PORT, "appProtocol": "http"}]


@each_ray_overlay
def test_a_worker_gets_no_traffic_before_its_model_has_answered(overlay: str) -> None:
    (service,) = of_kind(overlay, "RayService").values()
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    (worker,) = group["template"]["spec"]["containers"]
    assert worker["startupProbe"]["httpGet"]["path"] == "/project/health"
    assert {"name": "SENTIMENT_START_HEALTHY", "value": "true"} in worker["env"]
    # it decides when the pod may be used, and a worker without a replica may wait for hours
    assert worker["startupProbe"]["periodSeconds"] == worker["readinessProbe"]["periodSeconds"] == 1
    assert worker["startupProbe"]["failureThreshold"] >= 3600
    assert service["spec"]["rayClusterDeletionDelaySeconds"] <= 30


@each_ray_overlay
def test_the_autoscaler_starts_again_and_alone_has_the_api_servers_token(overlay: str) -> None:
    (service,) = of_kind(overlay, "RayService").values()
    cluster = service["spec"]["rayClusterConfig"]
    autoscaler, head = cluster["autoscalerOptions"], cluster["headGroupSpec"]["template"]["spec"]
    assert autoscaler["command"] == ["/bin/bash", "-c", "--"]
    (script,) = autoscaler["args"]
    assert script.startswith("while true; do ray kuberay-autoscaler --cluster-name $(RAY_CLUSTER_NAME) ")
    assert head["automountServiceAccountToken"] is False
    place = "/var/run/secrets/kubernetes.io/serviceaccount"
    (mount,) = (mount for mount in autoscaler["volumeMounts"] if mount["mountPath"] == place)
    (volume,) = (volume for volume in head["volumes"] if volume["name"] == mount["name"])
    paths = [source.get("serviceAccountToken", {}).get("path") for source in volume["projected"]["sources"]]
    assert "token" in paths
    (container,) = head["containers"]
    assert mount["name"] not in {each["name"] for each in container["volumeMounts"]}


def test_a_laptops_pods_fit_a_node_of_two_cpus_beside_the_system() -> None:
    operator = {"cpu": 0.1, "memory": 512 * 2**20}
    wanted = room.needed(rendered("local"))
    assert wanted["cpu"] + operator["cpu"] <= 1.0
    assert wanted["memory"] + operator["memory"] <= 3 * 2**30
    assert not of_kind("local", "HorizontalPodAutoscaler")


def test_prod_is_spread_over_zones_and_not_disrupted() -> None:
    (service,) = of_kind("prod", "RayService").values()
    cluster = service["spec"]["rayClusterConfig"]
    (group,) = cluster["workerGroupSpecs"]
    stateful, redis = of_kind("prod", "StatefulSet")["gcs-redis"], of_kind("prod", "Deployment")["redis-deployment"]
    for owner in (group, stateful["spec"], redis["spec"]):
        keys = [each["topologyKey"] for each in owner["template"]["spec"]["topologySpreadConstraints"]]
        assert "topology.kubernetes.io/zone" in keys
    for owner in (cluster["headGroupSpec"], stateful["spec"]):
        assert owner["template"]["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
    for owner in (cluster["headGroupSpec"], group):
        assert owner["template"]["spec"]["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
        assert owner["template"]["spec"]["priorityClassName"] in of_kind("prod", "PriorityClass")
    assert "nodeSelector" not in str(rendered("local")) + str(rendered("course"))
