"""Pods of every overlay: restricted, limited, probed, and started once Redis is there."""

from __future__ import annotations

import re

from tests.manifests import RESTRICTED, containers, each_overlay, of_kind, pod_templates


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
def test_images_have_a_tag_that_says_which(overlay: str) -> None:
    images = [container["image"] for _, template in pod_templates(overlay) for container in containers(template)]
    assert images
    for image in images:
        tag = image.rpartition("/")[2].partition(":")[2]
        assert tag, image
        assert tag != "latest", image
