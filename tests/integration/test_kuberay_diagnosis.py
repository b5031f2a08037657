"""Each way in which the service does not come up: what `status` and `wait` say, and the code they end with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kuberay.errors import ExitCode
from tests.kubernetes_api.state import KINDS, Request
from tests.support import kubernetes_objects as objects
from tests.support.kuberay_commands import Commands
from tests.support.kuberay_problems import CASES, NO_IMAGE, STARTING
from tests.support.kubernetes_objects import Object


def replaced(*changed: Object) -> list[Object]:
    """A service that is up but for these."""
    names = {(obj["kind"], obj["metadata"]["name"]) for obj in changed}
    kept = [obj for obj in objects.everything_up() if (obj["kind"], obj["metadata"]["name"]) not in names]
    return [*kept, *changed]


def fill(commands: Commands, *changed: Object) -> None:
    commands.api.put(*replaced(*changed))
    log = "starting\nModelError: model/mini has no manifest\n"
    commands.api.state.logs["worker-1", "ray", True] = log


@pytest.mark.parametrize("case", CASES)
def test_status_names_the_cause_and_the_object_and_ends_with_its_code(commands: Commands, case: str) -> None:
    code, subject, words, changed = CASES[case]
    fill(commands, *changed)
    assert commands("status", "--json") == code
    shown = json.loads(commands.out)
    first = shown["problems"][0]
    assert (first["code"], first["subject"], shown["ready"], shown["exit_code"]) == (code.name, subject, False, code)
    text = "\n".join([first["message"], *first["lines"]])
    assert all(word in text for word in words), text
    assert commands("status") == code
    screen = " ".join(commands.out.split())
    assert f"{code.name} {subject}" in screen
    assert len(commands.out.splitlines()) <= 24


@pytest.mark.parametrize("case", CASES)
def test_wait_ends_with_the_same_code_once_the_problem_has_stayed(commands: Commands, case: str) -> None:
    code, subject, _, changed = CASES[case]
    fill(commands, *changed)
    assert commands("wait", "--problem-for", "0", "--timeout", "60") == code
    assert f"{code.name} {subject}" in " ".join(commands.err.split())


def test_causes_come_before_what_follows_from_them(commands: Commands) -> None:
    redis = objects.pod(
        "redis-1", {"app": "redis"}, phase="Pending", **objects.waiting("ErrImagePull", NO_IMAGE, "redis")
    )
    fill(commands, redis, *CASES["waits for redis"][3])
    assert commands("status", "--json") == ExitCode.IMAGE_PULL
    codes = [problem["code"] for problem in json.loads(commands.out)["problems"]]
    assert codes == ["IMAGE_PULL", "REDIS_WAIT"]


def test_a_short_init_is_no_problem(commands: Commands) -> None:
    fill(
        commands,
        objects.pod("lab-1", {"app": "lab"}, **objects.initializing("init-verify-redis-ready", 3)),
        objects.deployment("lab-api-deployment", "lab", 0),
    )
    assert commands("status", "--json") == ExitCode.NOT_READY
    assert json.loads(commands.out)["problems"] == []


def test_log_lines_of_a_crash_hold_no_credentials(commands: Commands) -> None:
    fill(commands, STARTING, objects.worker(**objects.crashed()))
    log = "connecting to redis://:hunter2-secret@redis-service:6379\nAuthorization: Bearer abc.def-secret\n"
    commands.api.state.logs["worker-1", "ray", True] = log
    assert commands("status") == ExitCode.CRASH_LOOP
    assert "connecting to redis://REDACTED@redis-service" in " ".join(commands.out.split())
    assert "-secret" not in commands.out


@pytest.mark.parametrize("crds", [True, False])
def test_nothing_applied_and_crd_missing(commands: Commands, *, crds: bool) -> None:
    if not crds:
        del commands.api.state.kinds["ray.io/v1"]
    code = commands("status")
    assert code == (ExitCode.NOT_FOUND if crds else ExitCode.CRD_MISSING)
    assert ("has no RayService" if crds else "is KubeRay's operator installed?") in commands.err
    assert commands.err.count("\n") == 1


def test_the_plain_deployment_needs_no_crd(commands: Commands) -> None:
    del commands.api.state.kinds["ray.io/v1"]
    commands.api.state.kinds.pop("autoscaling/v2")
    assert "ray.io/v1" in KINDS
    commands.api.put(
        objects.deployment("project-api-deployment", "project"),
        objects.deployment("redis-deployment", "redis"),
        objects.pod("project-1", {"app": "project"}),
    )
    assert commands("status", "--json") == ExitCode.OK
    shown = json.loads(commands.out)
    assert shown["ray_service"] is None
    assert [item["role"] for item in shown["workloads"]] == ["project", "redis"]
    commands.api.put(objects.deployment("project-api-deployment", "project", 0))
    assert commands("status") == ExitCode.NOT_READY


FORBIDDEN = (
    'rayservices.ray.io "project-prediction" is forbidden: User "dev" cannot get resource "rayservices" in API group'
)


REFUSALS: list[tuple[int, dict[str, Any], ExitCode, str]] = [
    (403, {"message": FORBIDDEN, "reason": "Forbidden"}, ExitCode.FORBIDDEN, 'User "dev" cannot get resource'),
    (401, {"message": "Unauthorized", "reason": "Unauthorized"}, ExitCode.FORBIDDEN, "log in again"),
    (503, {"message": "etcdserver: no leader", "reason": "ServiceUnavailable"}, ExitCode.NO_CLUSTER, "no leader"),
]


@pytest.mark.parametrize(("status", "body", "code", "words"), REFUSALS)
def test_a_refusal_is_one_line(
    commands: Commands, status: int, body: dict[str, Any], code: ExitCode, words: str
) -> None:
    commands.api.put(*objects.everything_up())

    def of_ray_services(request: Request) -> bool:
        return "rayservices/" in request.path

    commands.api.refuse(of_ray_services, status, **body)
    assert commands("status") == code
    assert words in commands.err
    assert commands.err.startswith("error: ")
    assert commands.err.count("\n") == 1


def test_events_that_may_not_be_read_are_done_without(commands: Commands) -> None:
    commands.api.put(*objects.everything_up())
    message = 'events is forbidden: User "dev" cannot list resource "events"'
    commands.api.refuse(lambda request: request.path.endswith("/events"), 403, message=message, reason="Forbidden")
    assert commands("status") == ExitCode.OK
