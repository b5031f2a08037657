"""`status` and `wait` on what a real API server held: the cause, and the exit code."""

from __future__ import annotations

import json

import pytest

from kuberay.cluster import Cluster
from kuberay.errors import ExitCode
from kuberay.wait import Patience
from kuberay.wait import wait as wait_until_up
from tests import kubernetes_states
from tests.support.kuberay_commands import Commands

WANTED = {
    "no-operator": (ExitCode.OPERATOR, "RayService/project-prediction", "no operator has looked at it"),
    "unschedulable": (ExitCode.UNSCHEDULABLE, "Pod/lab-api-deployment-88cc54d9b-z656m", "unschedulable"),
    "initializing-timeout": (ExitCode.INITIALIZING_TIMEOUT, "RayService/project-prediction", "timeout of 50s"),
    "quota-refuses-head": (ExitCode.ROLLOUT, "RayCluster/project-prediction-26hd8", "exceeded quota: q"),
    "image-pull": (ExitCode.IMAGE_PULL, "Pod/project-prediction-llhfm-head-pgflq", "nowhere.invalid/project:1"),
    "prod-secrets-missing": (ExitCode.CONTAINER_CONFIG, "Pod/project-prediction-582f7-head-rgrdx", "not found"),
    "prod-no-storage-class": (ExitCode.UNSCHEDULABLE, "Pod/gcs-redis-0", "no storage class is set"),
    "worker-oom": (ExitCode.CRASH_LOOP, "RayCluster/project-prediction-ht8sx", "OOMKilled, exit code 137"),
    "ready": (ExitCode.OK, "", ""),
    "upgrade-in-progress": (ExitCode.NOT_READY, "", ""),
    "upgrade-switched-no-endpoint": (ExitCode.NOT_READY, "", ""),
    "upgraded-old-cluster-waits": (ExitCode.OK, "", ""),
    "autoscaler-dead": (ExitCode.AUTOSCALER, "Pod/project-prediction-rvk8k-head-jsncd", "container autoscaler"),
}


@pytest.mark.parametrize("state", WANTED)
def test_status_says_the_cause_and_ends_with_its_code(commands: Commands, state: str) -> None:
    assert sorted(WANTED) == kubernetes_states.NAMES
    code, subject, words = WANTED[state]
    namespace = kubernetes_states.put(commands.api, state)
    assert commands("status", "--json", "--namespace", namespace) == code, commands.out
    problems = json.loads(commands.out)["problems"]
    first = problems[0] if problems else {"code": code.name, "subject": "", "message": ""}
    assert (first["code"], first["subject"]) == (code.name, subject)
    assert words in first["message"]


@pytest.mark.parametrize("state", WANTED)
def test_wait_ends_with_the_same_code_once_the_problem_has_stayed(commands: Commands, state: str) -> None:
    namespace = kubernetes_states.put(commands.api, state)
    patience = Patience(timeout_s=3.0, problem_s=0.5, settle_s=0.2, poll_s=0.1)
    with Cluster(str(commands.api.kubeconfig)) as cluster:
        _, code = wait_until_up(cluster, namespace, patience, lambda *_: None)
    assert code is WANTED[state][0]


def test_a_cluster_that_was_replaced_is_not_spoken_of(commands: Commands) -> None:
    namespace = kubernetes_states.put(commands.api, "upgraded-old-cluster-waits")
    assert commands("status", "--json", "--namespace", namespace) == ExitCode.OK
    assert "5wvzb" not in commands.out
    old = "project-prediction-5wvzb-head-rjc8g"
    pod = commands.api.get("pods", old, namespace)
    assert pod is not None
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}
    assert commands("status", "--namespace", namespace) == ExitCode.OK
    assert "IMAGE_PULL" not in commands.out


def test_an_operator_that_is_locked_out_of_the_head_is_reported(commands: Commands) -> None:
    namespace = kubernetes_states.put(commands.api, "upgrade-in-progress")
    head = commands.api.get("pods", "project-prediction-rvk8k-head-jsncd", namespace)
    assert head is not None
    for condition in head["status"]["conditions"]:
        condition |= {"status": "True", "lastTransitionTime": "2026-11-26T04:13:56Z"}
    said = 'err: Put "http://project-prediction-rvk8k-head-svc:8265/api/serve/applications/": context deadline exceeded'
    failed = {
        "kind": "Event",
        "type": "Warning",
        "reason": "FailedToUpdateServeApplications",
        "message": f"Failed to update serve applications to the RayCluster project-prediction-rvk8k: {said}",
        "lastTimestamp": "2026-11-26T04:14:30Z",
        "involvedObject": {"kind": "RayService", "name": "project-prediction"},
        "metadata": {"name": "failed", "namespace": namespace},
    }
    commands.api.put(failed)
    assert commands("status", "--json", "--namespace", namespace) == ExitCode.OPERATOR
    (problem,) = json.loads(commands.out)["problems"]
    assert problem["subject"] == "RayCluster/project-prediction-rvk8k"
    assert "context deadline exceeded" in problem["message"]
    assert "NetworkPolicy" in problem["message"]
    # the next success ends it
    commands.api.put(
        {
            **failed,
            "type": "Normal",
            "reason": "UpdatedServeApplications",
            "lastTimestamp": "2026-11-26T04:14:32Z",
            "metadata": {"name": "updated", "namespace": namespace},
        }
    )
    assert commands("status", "--namespace", namespace) == ExitCode.NOT_READY


def test_an_event_without_a_message_is_no_trouble(commands: Commands) -> None:
    namespace = kubernetes_states.put(commands.api, "image-pull")
    for obj in list(commands.api.state.objects.values()):
        if obj["kind"] == "Event":
            del obj["message"]
    assert commands("status", "--namespace", namespace) == ExitCode.IMAGE_PULL
