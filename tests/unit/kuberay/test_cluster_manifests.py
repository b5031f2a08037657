"""What the suite for clusters applies: its overlays, the load's pod, and the policies around it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import validate

from tests.cluster import objects
from tests.cluster.overlays import BASE, NO_MODEL, Overlays, edit
from tests.support.manifests import RESTRICTED
from tests.support.service import REPOSITORY

pytestmark = pytest.mark.slow

Manifest = dict[str, Any]


def render(folder: str) -> dict[str, Manifest]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders the manifests, is not installed")
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert not done.returncode, done.stderr
    found = [obj for obj in yaml.safe_load_all(done.stdout) if obj]
    return {f"{obj['kind']}/{obj['metadata']['name']}": obj for obj in found}


@pytest.fixture
def overlays(tmp_path: Path) -> Overlays:
    return Overlays(tmp_path, "cluster-test-x")


def cluster(rendered: dict[str, Manifest]) -> Manifest:
    found: Manifest = rendered["RayService/project-prediction"]["spec"]["rayClusterConfig"]
    return found


def milli(value: str) -> int:
    return int(value.removesuffix("m")) if value.endswith("m") else int(value) * 1000


def test_the_overlay_is_local_with_rays_state_apart_and_without_lab_and_node_port(overlays: Overlays) -> None:
    rendered = render(overlays.plain())
    assert not [name for name in rendered if "lab" in name or "nodeport" in name]
    assert {"StatefulSet/gcs-redis", "Deployment/redis-deployment", "Secret/gcs-redis-auth"} <= rendered.keys()
    assert {obj["metadata"].get("namespace", "") for obj in rendered.values()} == {"", "cluster-test-x"}
    (group,) = cluster(rendered)["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (2, 2, 4)
    assert "gcsFaultToleranceOptions" in cluster(rendered)


def test_two_clusters_of_two_workers_fit_on_a_node_of_two_cpus(overlays: Overlays) -> None:
    rendered = render(overlays.plain())
    system, operator, init, load = 950, 100, 200, 50
    (group,) = cluster(rendered)["workerGroupSpecs"]
    specs = [
        cluster(rendered)["headGroupSpec"]["template"]["spec"]["containers"],
        [cluster(rendered)["autoscalerOptions"]],
    ]
    head = sum(milli(each["resources"]["requests"]["cpu"]) for spec in specs for each in spec)
    own = sum(milli(each["resources"]["requests"]["cpu"]) for each in group["template"]["spec"]["containers"])
    redis = sum(
        milli(rendered[name]["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"])
        for name in ("StatefulSet/gcs-redis", "Deployment/redis-deployment")
    )
    # the init container that the operator adds asks for 200m, but only until the worker has started
    assert system + operator + load + redis + 2 * head + 2 * own + 2 * max(own, init) <= 2000


def test_serve_has_a_replica_for_each_worker() -> None:
    source = (REPOSITORY / "serve_config.yaml").read_text(encoding="utf-8")
    copy = (BASE / "serve_config.yaml").read_text(encoding="utf-8")
    assert [a.partition(":")[0] for a in copy.splitlines()] == [a.partition(":")[0] for a in source.splitlines()]
    for deployment in yaml.safe_load(copy)["applications"][0]["deployments"]:
        bounds = deployment["autoscaling_config"]
        assert (bounds["min_replicas"], bounds["max_replicas"]) == (2, 4), "run: make manifests"


def test_secrets_are_drawn_for_each_run_and_the_same_in_all_its_overlays(overlays: Overlays, tmp_path: Path) -> None:
    def values(rendered: dict[str, Manifest]) -> dict[str, Any]:
        return {name: obj["data"] for name, obj in rendered.items() if obj["kind"] == "Secret"}

    plain = values(render(overlays.plain()))
    assert len(plain) == 3
    assert values(render(overlays.edited())) == plain
    other = tmp_path / "other"
    other.mkdir()
    again = values(render(Overlays(other, "cluster-test-y").plain()))
    assert all(again[name] != plain[name] for name in plain)


def test_the_overlay_without_a_model_differs_in_one_variable_of_every_ray_pod(overlays: Overlays) -> None:
    plain, without = render(overlays.plain()), render(overlays.without_model())
    changed = cluster(without)
    for group in (changed["headGroupSpec"], *changed["workerGroupSpecs"]):
        assert group["template"]["spec"]["containers"][0]["env"].pop() == NO_MODEL
    assert without == plain


def test_the_edited_overlay_differs_in_the_serve_configuration_alone(overlays: Overlays) -> None:
    plain, edited = render(overlays.plain()), render(overlays.edited())
    configs = [each["RayService/project-prediction"]["spec"].pop("serveConfigV2") for each in (plain, edited)]
    assert edited == plain
    before, after = map(yaml.safe_load, configs)
    assert after["applications"][0].pop("args") == {"health_max_age_s": 11.0}
    before["applications"][0].pop("args")
    assert after == before
    assert yaml.safe_load(edit(configs[1])) == yaml.safe_load(configs[1])


def test_a_storage_class_may_be_named(tmp_path: Path) -> None:
    rendered = render(Overlays(tmp_path, "cluster-test-x", "fast").plain())
    (claim,) = rendered["StatefulSet/gcs-redis"]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"


@pytest.mark.parametrize("obj", [objects.code(), *objects.policies(), objects.pod("registry/a:b", 100, 5)])
def test_the_suites_own_objects_are_valid(obj: Manifest) -> None:
    validate(obj, "1.34", strict=True)


def test_the_loads_pod_meets_pod_security_restricted() -> None:
    spec = objects.pod("registry/a:b", 100, 5)["spec"]
    (container,) = spec["containers"]
    merged = {**spec["securityContext"], **container["securityContext"]}
    assert {name: merged[name] for name in RESTRICTED} == RESTRICTED
    assert container["imagePullPolicy"] == "IfNotPresent", "nodes without a registry have the image already"
    assert not spec["automountServiceAccountToken"]


def test_the_loads_pod_holds_every_module_that_it_imports() -> None:
    spec = objects.pod("registry/a:b", 100, 5)["spec"]
    (volume,) = spec["volumes"]
    paths = {item["path"]: item["key"] for item in volume["configMap"]["items"]}
    data = objects.code()["data"]
    assert set(paths.values()) == data.keys()
    modules = {path.name for path in objects.INSIDE.glob("*.py")} - {"__init__.py", "kill.py"}
    assert {f"tests/cluster/inside/{name}" for name in modules} <= paths.keys()
    for name in modules:
        assert data[name] == (objects.INSIDE / name).read_text(encoding="utf-8")


def test_only_the_load_is_let_in_and_only_to_the_service() -> None:
    into, out = objects.policies()
    assert into["spec"]["podSelector"]["matchLabels"] == {"app": "project-prediction"}
    assert into["spec"]["ingress"] == [
        {"from": [{"podSelector": {"matchLabels": objects.LABELS}}], "ports": [{"port": 8000}]}
    ]
    assert out["spec"]["podSelector"]["matchLabels"] == objects.LABELS
    assert [rule["ports"] for rule in out["spec"]["egress"]] == [
        [{"port": 8000}],
        [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    ]
