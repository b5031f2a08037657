"""When waiting ends: ready for good, out of time, connection lost, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from kuberay.cluster import Cluster
from kuberay.errors import ClientError, ExitCode
from kuberay.status import Status
from kuberay.wait import Patience, wait
from serve_app.local.ports import free_port
from tests.support import kubernetes_objects as objects
from tests.support.kuberay_commands import Commands
from tests.support.kubernetes_objects import Object
from tests.support.service import REPOSITORY
from tests.support.wait import until

QUICK = Patience(timeout_s=30.0, problem_s=20.0, settle_s=0.1, poll_s=0.02)
BRIEF = replace(QUICK, timeout_s=0.5)
NOT_YET: dict[str, Object] = {
    "an older generation is ready": objects.ray_service(generation=2),
    "an upgrade is going on": objects.ray_service(
        objects.up(
            conditions=[objects.condition("Ready", "True", "NonZeroServeEndpoints"), objects.upgrading("True")],
            pendingServiceStatus=objects.application("DEPLOYING"),
        )
    ),
    "an application is deploying": objects.ray_service(
        objects.up(activeServiceStatus=objects.application("DEPLOYING"))
    ),
    "an application is not reported": objects.ray_service(objects.up(activeServiceStatus={})),
    "no endpoint": objects.ray_service(
        objects.up(conditions=[objects.condition("Ready", "False", "ZeroServeEndpoints"), objects.upgrading("False")])
    ),
    "no status": objects.ray_service({}),
    "Ray's own redis rolls out": {**objects.deployment("gcs-redis", "gcs-redis", 0), "kind": "StatefulSet"},
    "lab rolls out": objects.deployment("lab-api-deployment", "lab", 0),
}


@pytest.fixture
def cluster(commands: Commands) -> Iterator[Cluster]:
    with Cluster(str(commands.api.kubeconfig)) as cluster:
        yield cluster


class Reports:
    """Collects what `wait` reports, and puts objects into the server after some polls."""

    def __init__(self, commands: Commands, **later: list[Object]) -> None:
        self.notes: list[str] = []
        self.ready: list[bool] = []
        self._commands = commands
        self._later = {int(name.removeprefix("after_")): put for name, put in later.items()}

    def __call__(self, status: Status | None, note: str) -> None:
        self.notes.append(note)
        self.ready.append(status is not None and status.ready)
        self._commands.api.put(*self._later.get(len(self.notes), []))


def test_it_ends_when_everything_is_up(commands: Commands, cluster: Cluster) -> None:
    commands.api.put(*objects.everything_up())
    reports = Reports(commands)
    status, code = wait(cluster, "dev", QUICK, reports)
    assert code is ExitCode.OK
    assert status is not None
    assert status.ready
    assert len(reports.ready) > 1  # once is not enough: the operator may not have looked yet


@pytest.mark.parametrize("case", NOT_YET)
def test_it_goes_on_while(commands: Commands, cluster: Cluster, case: str) -> None:
    commands.api.put(*objects.everything_up(), NOT_YET[case])
    reports = Reports(commands)
    status, code = wait(cluster, "dev", BRIEF, reports)
    assert code is ExitCode.NOT_READY
    assert status is not None
    assert not status.problems
    assert not any(reports.ready)


def test_of_plain_deployments_it_waits_for_every_rollout(commands: Commands, cluster: Cluster) -> None:
    names = {"project-api-deployment": "project", "lab-api-deployment": "lab", "redis-deployment": "redis"}
    commands.api.put(*(objects.deployment(name, app) for name, app in names.items()))
    unseen = objects.deployment("project-api-deployment", "project")
    unseen["metadata"]["generation"] = 2
    surplus = objects.deployment("project-api-deployment", "project")
    surplus["status"]["replicas"] = 2  # an old pod is still there
    done = objects.deployment("project-api-deployment", "project")
    commands.api.put(unseen)
    reports = Reports(commands, after_2=[surplus], after_4=[done])
    _, code = wait(cluster, "dev", QUICK, reports)
    assert code is ExitCode.OK
    assert reports.ready[:5] == [False, False, False, False, True]


def test_it_sees_what_comes_up_later(commands: Commands, cluster: Cluster) -> None:
    commands.api.put(*objects.everything_up(), NOT_YET["an upgrade is going on"])
    reports = Reports(commands, after_3=objects.everything_up())
    _, code = wait(cluster, "dev", QUICK, reports)
    assert code is ExitCode.OK
    assert reports.ready[:3] == [False, False, False]


def test_an_edit_that_is_not_submitted_yet_does_not_count(commands: Commands, cluster: Cluster) -> None:
    commands.api.put(*objects.everything_up())
    deploying = objects.ray_service(objects.up(activeServiceStatus=objects.application("DEPLOYING")))
    reports = Reports(commands, after_1=[deploying], after_6=objects.everything_up())
    _, code = wait(cluster, "dev", QUICK, reports)
    assert code is ExitCode.OK
    assert reports.ready[0]
    assert not any(reports.ready[1:6])


def test_a_problem_that_goes_away_does_not_end_it(commands: Commands, cluster: Cluster) -> None:
    crashing = objects.worker(**objects.crashed())
    commands.api.put(*objects.everything_up(), NOT_YET["no endpoint"], crashing)
    _, code = wait(cluster, "dev", QUICK, Reports(commands, after_5=objects.everything_up()))
    assert code is ExitCode.OK


def test_a_lost_connection_is_reported_and_tried_again(commands: Commands, cluster: Cluster) -> None:
    commands.api.put(*objects.everything_up())
    commands.api.state.drop = 3
    reports = Reports(commands)
    _, code = wait(cluster, "dev", QUICK, reports)
    assert code is ExitCode.OK
    assert ["trying again" in note for note in reports.notes[:4]] == [True, True, True, False]


def test_a_connection_that_stays_lost_has_its_own_code(commands: Commands, cluster: Cluster) -> None:
    commands.api.put(*objects.everything_up())
    commands.api.state.drop = 1_000_000
    status, code = wait(cluster, "dev", BRIEF, Reports(commands))
    assert (status, code) == (None, ExitCode.CONNECTION_LOST)


def test_no_cluster_and_no_kubeconfig(commands: Commands) -> None:
    commands.api.kubeconfig.write_text(
        commands.api.kubeconfig.read_text().replace(str(commands.api.server_port), str(free_port()))
    )
    assert commands("wait") == ExitCode.NO_CLUSTER
    assert "cannot be reached" in commands.err
    commands.api.kubeconfig.write_text("clusters: [")
    assert commands("wait") == ExitCode.NO_CLUSTER
    assert commands.err.startswith("error: no usable kubeconfig")
    commands.api.kubeconfig.unlink()
    assert commands("wait") == ExitCode.NO_CLUSTER
    assert commands.err.count("\n") == 1


def test_a_context_that_is_not_there(commands: Commands) -> None:
    assert commands("status", "--context", "nowhere") == ExitCode.NO_CLUSTER
    assert commands.err.count("\n") == 1
    with pytest.raises(ClientError):
        Cluster(str(commands.api.kubeconfig), "nowhere")


def test_ctrl_c_ends_it_cleanly(commands: Commands) -> None:
    commands.api.put(*objects.everything_up(), NOT_YET["an application is deploying"])
    command = [
        sys.executable,
        "-m",
        "kuberay",
        "wait",
        "--namespace",
        "dev",
        "--kubeconfig",
        str(commands.api.kubeconfig),
    ]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )

    def polls() -> int:
        return sum(request.path.endswith("/rayservices/project-prediction") for request in commands.api.sent("GET"))

    until(lambda: polls() > 1, "it has reported once", 60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED
    assert not out
    assert "Traceback" not in err
    assert "sentiment DEPLOYING" in err
    assert err.splitlines()[-1].startswith("interrupted; the cluster goes on")
