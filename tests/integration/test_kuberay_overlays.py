"""The repository's own overlays through the client."""

from __future__ import annotations

import pytest

from kuberay.cli import main
from kuberay.names import COURSE_DEPLOYMENT, DEPLOYMENTS, RAY_SERVICE, REDIS_INIT_CONTAINERS, STATEFUL_SETS
from kuberay.render import OVERLAYS, namespace_of, render
from tests.kubernetes_api.answers import APPLY
from tests.support.kuberay_commands import Commands

IMAGE, LAB = "registry.example/team/project:0a1b2c3", "registry.example/team/lab:v1"
NAMES = {path.name for path in OVERLAYS.glob("*/")}


@pytest.mark.parametrize("overlay", sorted(NAMES))
def test_an_overlay_is_applied_whole_and_once(
    commands: Commands, overlay: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["apply", "--overlay", overlay, "--kubeconfig", str(commands.api.kubeconfig)]
    arguments += ["--image", IMAGE, "--lab-image", LAB]
    if overlay == "course":
        commands.api.put({"kind": "Namespace", "metadata": {"name": "course"}})  # an admin has made it
    if overlay != "local":
        arguments += ["--host", "sentiment.example.org", "--gateway", "istio-system/gateway"]
    assert main(arguments) == 0
    created = capsys.readouterr().out.splitlines()
    assert {line.rpartition(" ")[2] for line in created} == {"created"}
    assert created[0].startswith("Namespace/") is (overlay != "course")
    assert main(arguments) == 0
    again = capsys.readouterr().out.splitlines()
    assert {line.rpartition(" ")[2] for line in again} == {"unchanged"}
    bodies = str([request.body for request in commands.api.sent("PATCH", APPLY)])
    assert IMAGE in bodies
    assert LAB in bodies
    assert "set-by-deploy" not in bodies


def test_the_names_that_the_client_looks_for_are_those_of_the_overlays() -> None:
    objects = [obj for overlay in NAMES for obj in render(overlay)]
    workloads = {
        obj["metadata"]["name"] for obj in objects if obj["kind"] in {"Deployment", "StatefulSet", "RayService"}
    }
    assert workloads == {RAY_SERVICE, COURSE_DEPLOYMENT, *DEPLOYMENTS.values(), *STATEFUL_SETS.values()}
    assert all(f"'name': '{name}'" in str(objects) for name in REDIS_INIT_CONTAINERS)


@pytest.mark.parametrize("overlay", sorted(NAMES))
def test_a_namespace_given_moves_the_whole_overlay(overlay: str) -> None:
    objects = render(overlay, namespace="elsewhere")
    assert namespace_of(objects) == "elsewhere"
    names = [obj["metadata"]["name"] for obj in objects if obj["kind"] == "Namespace"]
    assert names == ([] if overlay == "course" else ["elsewhere"])


def test_prod_and_course_want_their_images(capsys: pytest.CaptureFixture[str]) -> None:
    for overlay in ("prod", "course"):
        assert main(["apply", "--overlay", overlay]) == 2
        assert "has no image yet" in capsys.readouterr().err


@pytest.mark.parametrize("overlay", ["course", "prod"])
def test_a_host_and_a_gateway_that_the_overlay_leaves_open_are_asked_for(
    commands: Commands, overlay: str, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.api.put({"kind": "Namespace", "metadata": {"name": "course"}})
    arguments = ["apply", "--overlay", overlay, "--kubeconfig", str(commands.api.kubeconfig)]
    arguments += ["--image", IMAGE, "--lab-image", LAB]
    assert main(arguments) == 2
    assert f"has no host yet, only {overlay.replace('prod', 'project')}.example.com" in capsys.readouterr().err
    assert main([*arguments, "--host", "sentiment.example.org"]) == 2
    assert "has no gateway yet" in capsys.readouterr().err
    place = {"prod": "project", "course": "course"}[overlay]
    assert commands.api.get("virtualservices", "external-access", place) is None
    assert main([*arguments, "--host", "sentiment.example.org", "--gateway", "istio-system/mine"]) == 0
    route = commands.api.get("virtualservices", "external-access", place)
    assert route is not None
    assert (route["spec"]["hosts"], route["spec"]["gateways"]) == (["sentiment.example.org"], ["istio-system/mine"])


def test_lab_comes_to_a_laptop_with_its_image() -> None:
    assert "lab-api-deployment" not in str(render("local"))
    objects = {(obj["kind"], obj["metadata"]["name"]): obj for obj in render("local", lab_image=LAB)}
    lab = objects["Deployment", "lab-api-deployment"]
    assert lab["spec"]["template"]["spec"]["containers"][0]["image"] == LAB
    assert lab["metadata"]["namespace"] == "project"
    assert ("Service", "lab-prediction-service") in objects
