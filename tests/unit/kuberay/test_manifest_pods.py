"""Pods of every overlay: restricted, limited, probed, and started once Redis is there."""

from __future__ import annotations

import re

import pytest

from tests.support.manifests import RESTRICTED, containers, each_overlay, of_kind, pod_templates, rendered


@each_overlay
def test_pods_wait_for_the_name_and_then_for_the_server_of_redis(overlay: str) -> None:
    waiting = [
        [(init["name"], init["image"]) for init in template["spec"]["initContainers"]]
        for _, template in pod_templates(overlay)
        if template["spec"].get("initContainers")
    ]
    wanted = ["init-verify-redis-service-dns", "init-verify-redis-ready"]
    assert len(waiting) == (1 if overlay == "local" else 2)  # the project's, and lab's
    for pod in waiting:
        assert [name for name, _ in pod] == wanted
        assert all(re.fullmatch(r"busybox:\d+\.\d+\.\d+", image) for _, image in pod)


@each_overlay
def test_the_projects_password_of_redis_is_a_setting_of_its_own(overlay: str) -> None:
    names = {"project", "ray-head", "ray-worker"}
    for _, template in pod_templates(overlay):
        for container in containers(template):
            if container["name"] in names:
                env = {variable["name"]: variable for variable in container["env"]}
                assert env["REDIS_URL"]["value"] == "redis://redis-service:6379/0"
                reference = env["SENTIMENT_REDIS_PASSWORD"]["valueFrom"]["secretKeyRef"]
                assert reference == {"name": "redis-auth", "key": "password"}


@each_overlay
def test_pods_read_these_keys_of_secrets_and_no_others(overlay: str) -> None:
    needed: set[tuple[str, str, str]] = set()
    optional: set[tuple[str, str, str]] = set()
    for _, template in pod_templates(overlay):
        assert not [each for each in template["spec"].get("volumes", []) if "secret" in each]
        for container in containers(template):
            assert "envFrom" not in container
            for variable in container.get("env", []):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    kind = optional if reference.get("optional") else needed
                    kind.add((container["name"], reference["name"], reference["key"]))
    project = {"local": {"ray-head", "ray-worker"}, "prod": {"ray-head", "ray-worker"}, "course": {"project"}}[overlay]
    assert needed == {
        *((name, "redis-auth", "password") for name in ("redis", *project, *(["lab"] if overlay != "local" else []))),
        *([("redis", "gcs-redis-auth", "password")] if overlay == "prod" else []),
    }
    assert optional == {
        ("redis", "redis-auth", "project-password"),
        ("redis", "redis-auth", "lab-password"),
        *((name, "redis-auth", "value-key") for name in project),
    }


@pytest.mark.parametrize("overlay", ["prod", "course"])
def test_lab_is_given_a_url_whose_password_comes_from_the_secret(overlay: str) -> None:
    (lab,) = of_kind(overlay, "Deployment")["lab-api-deployment"]["spec"]["template"]["spec"]["containers"]
    assert {each["name"]: each.get("value") for each in lab["env"]} == {
        "REDIS_PASSWORD": None,
        "REDIS_URL": "redis://:$(REDIS_PASSWORD)@redis-service:6379/0",
    }


@each_overlay
def test_no_sidecar_is_put_into_a_pod(overlay: str) -> None:
    # by label: what injects it no longer reads the annotation; init containers run before a sidecar, and the
    # namespace refuses its own init container
    for name, template in pod_templates(overlay):
        assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "false", name


@each_overlay
def test_no_cluster_domain_is_written_down(overlay: str) -> None:
    assert "cluster.local" not in str(rendered(overlay))


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
        assert template["spec"]["automountServiceAccountToken"] is False, name


@each_overlay
def test_images_have_a_tag_that_says_which(overlay: str) -> None:
    images = [container["image"] for _, template in pod_templates(overlay) for container in containers(template)]
    assert images
    for image in images:
        tag = image.rpartition("/")[2].partition(":")[2]
        assert tag, image
        assert tag != "latest", image
