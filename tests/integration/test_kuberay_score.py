"""`python -m kuberay score` against an API server that answers as a real one does."""

from __future__ import annotations

import threading
from pathlib import Path

import kubernetes_validate
import pytest

from kuberay.errors import ExitCode
from kuberay.score import job_name, score_objects
from tests.kubernetes_api.state import Request
from tests.support.kuberay_commands import Commands
from tests.support.kubernetes_objects import Object
from tests.support.manifests import RESTRICTED, of_kind
from tests.support.wait import until

OUTPUT = "s3://bucket/scored.csv"
NAME = job_name(OUTPUT, "reviews")
ARGUMENTS = ("score", "s3://bucket/reviews.csv", OUTPUT, "--workers", "3", "--secret", "s3-keys", "--claim", "reviews")


@pytest.fixture
def job() -> dict[str, Object]:
    found = score_objects("in.csv", OUTPUT, [], namespace="dev", image="project:1", workers=3)
    return {obj["kind"]: obj for obj in found}


def finish(commands: Commands, state: str, job_status: str, *, name: str = NAME, **status: str) -> threading.Thread:
    """Once the job is there, what KubeRay would say of it, and a line in its submitter's log."""

    def run() -> None:
        until(lambda: commands.api.get("rayjobs", name), "the job is there")
        with commands.api.lock:
            found = commands.api.get("rayjobs", name)
            assert found is not None
            pod = {"kind": "Pod", "metadata": {"name": "submitter", "namespace": "dev", "labels": {"job-name": NAME}}}
            commands.api.put(pod)
            commands.api.state.logs["submitter", "ray-job-submitter", False] = "scoring: 2,048 rows\n"
            commands.api.put({**found, "status": {"jobDeploymentStatus": state, "jobStatus": job_status, **status}})

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture
def namespaced(commands: Commands) -> Commands:
    commands.api.put({"kind": "Namespace", "metadata": {"name": "dev"}})
    return commands


def test_it_submits_a_job_with_a_cluster_of_its_own_and_watches_it(namespaced: Commands) -> None:
    operator = finish(namespaced, "Complete", "SUCCEEDED")
    assert namespaced(*ARGUMENTS) == ExitCode.OK, namespaced.err
    operator.join()
    assert f"RayJob/{NAME} created" in namespaced.out
    assert "scoring: 2,048 rows" in namespaced.out
    assert namespaced.out.splitlines()[-1] == f"{OUTPUT} is written"
    found = namespaced.api.get("rayjobs", NAME)
    assert found is not None
    spec = found["spec"]
    assert spec["entrypoint"] == (
        "python -m serve_app.score s3://bucket/reviews.csv s3://bucket/scored.csv --address auto"
        " --column text --workers 6"
    )
    assert "clusterSelector" not in spec
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert group["replicas"] == group["maxReplicas"] == 3
    head = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert head["containers"][0]["image"] == "registry.example/dev/project:0a1b2c3"
    assert head["containers"][0]["envFrom"] == [{"secretRef": {"name": "s3-keys"}}]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "reviews"}} in head["volumes"]


def test_a_job_that_failed_says_why_and_the_same_command_begins_it_again(namespaced: Commands) -> None:
    operator = finish(namespaced, "Failed", "FAILED", reason="AppFailed", message="exit 1")
    assert namespaced(*ARGUMENTS) == ExitCode.FAILED
    operator.join()
    assert "Failed, FAILED, AppFailed, exit 1; the same command goes on" in namespaced.err
    assert namespaced(*ARGUMENTS, "--timeout", "1") == ExitCode.NOT_READY
    assert f"RayJob/{NAME} had ended, and begins again" in namespaced.out
    assert len(namespaced.api.sent("DELETE")) == 1


def test_an_output_that_would_go_with_the_pod_is_refused(namespaced: Commands) -> None:
    assert namespaced("score", "s3://bucket/in.csv", "/data/out.csv") == ExitCode.USAGE
    assert "OUTPUT /data/out.csv is a path in a pod that is removed; use a URL, or --claim" in namespaced.err
    assert not namespaced.api.sent("PATCH")


def test_credentials_in_a_url_are_not_printed(namespaced: Commands) -> None:
    output = "s3://key:secret@bucket/scored.csv"
    operator = finish(namespaced, "Complete", "SUCCEEDED", name=job_name(output))
    assert namespaced("score", "s3://bucket/in.csv", output) == ExitCode.OK, namespaced.err
    operator.join()
    assert namespaced.out.splitlines()[-1] == "s3://REDACTED@bucket/scored.csv is written"
    assert "secret" not in namespaced.out


def test_a_job_that_runs_is_watched_and_not_submitted_twice(namespaced: Commands) -> None:
    running = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
    namespaced.api.put(
        {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": NAME, "namespace": "dev"}, "status": running}
    )
    assert namespaced(*ARGUMENTS, "--timeout", "1") == ExitCode.NOT_READY
    assert "it goes on" in namespaced.err
    assert not namespaced.api.sent("PATCH")


def test_a_job_that_writes_the_same_output_from_another_input_is_not_watched(namespaced: Commands) -> None:
    assert namespaced(*ARGUMENTS, "--timeout", "1") == ExitCode.NOT_READY
    assert namespaced(*ARGUMENTS, "--timeout", "1") == ExitCode.NOT_READY, "it is the same"
    others = (
        ("score", "s3://bucket/others.csv", *ARGUMENTS[2:]),
        (*ARGUMENTS, "--column", "review"),
        (*ARGUMENTS, "--image", "registry.example/dev/project:2"),
        tuple("other-keys" if each == "s3-keys" else each for each in ARGUMENTS),
    )
    for other in others:
        assert namespaced(*other, "--timeout", "1") == ExitCode.CONFLICT
        assert f"RayJob/{NAME} writes the same output with another input, option, image or secret" in namespaced.err
    other_claim = tuple("other" if each == "reviews" else each for each in ARGUMENTS)
    assert namespaced(*other_claim, "--timeout", "1") == ExitCode.NOT_READY
    assert len(names(namespaced)) == 2


def names(commands: Commands) -> list[str]:
    return [name for kind, _, name in commands.api.state.objects if kind == "rayjobs"]


def test_a_job_begins_again_only_when_the_old_one_is_gone(
    namespaced: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kuberay.score_watch._GONE_POLL_S", 0.05)
    assert namespaced(*ARGUMENTS, "--timeout", "1") == ExitCode.NOT_READY
    old = namespaced.api.get("rayjobs", NAME)
    assert old is not None
    ended = {**old, "status": {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED"}}
    namespaced.api.put(ended)
    looks = []

    def is_there_for_a_while(request: Request) -> bool:
        """KubeRay's finalizer: a deleted job is there for three more looks."""
        if namespaced.api.sent("DELETE") and request.method == "GET" and request.path.endswith(f"rayjobs/{NAME}"):
            looks.append(request)
            with namespaced.api.lock:
                if len(looks) < 4:
                    namespaced.api.put({**ended, "metadata": {**ended["metadata"], "deletionTimestamp": "now"}})
                elif len(looks) == 4:
                    namespaced.api.state.objects.pop(("rayjobs", "dev", NAME), None)
        return False

    namespaced.api.refuse(is_there_for_a_while, 500, message="", reason="")
    assert namespaced(*ARGUMENTS, "--timeout", "1") == ExitCode.NOT_READY
    assert len(looks) > 4
    assert f"RayJob/{NAME} created" in namespaced.out


def test_an_api_server_that_stops_answering_for_a_moment_does_not_end_the_watch(
    namespaced: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kuberay.score_watch.POLL_S", 0.05)
    lost: list[Request] = []

    def applied() -> bool:
        return any(request.path.endswith(f"rayjobs/{NAME}") for request in namespaced.api.sent("PATCH"))

    def is_lost(request: Request) -> bool:
        if request.method == "GET" and request.path.endswith(f"rayjobs/{NAME}") and applied():
            lost.append(request)
        return 0 < len(lost) < 4 and lost[-1] is request

    namespaced.api.refuse(is_lost, 503, message="", reason="ServiceUnavailable")
    operator = finish(namespaced, "Complete", "SUCCEEDED")
    assert namespaced(*ARGUMENTS) == ExitCode.OK, namespaced.err
    operator.join()


def test_pods_that_cannot_start_are_reported_and_end_the_watch_if_they_stay_so(
    namespaced: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kuberay.score_watch.POLL_S", 0.05)
    monkeypatch.setattr("kuberay.score_watch.PROBLEM_S", 0.3)
    assert namespaced(*ARGUMENTS, "--timeout", "1") == ExitCode.NOT_READY
    job, name = namespaced.api.get("rayjobs", NAME), f"{NAME}-x7k2p"
    assert job is not None
    namespaced.api.put({**job, "status": {"jobDeploymentStatus": "Initializing", "rayClusterName": name}})
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    labels = {"ray.io/cluster": name, "ray.io/node-type": "head"}
    status = {"phase": "Pending", "containerStatuses": [{"name": "ray-head", "state": waiting}]}
    meta = {"name": f"{name}-head", "namespace": "dev", "labels": labels}
    namespaced.api.put({"kind": "Pod", "metadata": meta, "status": status})
    assert namespaced(*ARGUMENTS) == ExitCode.IMAGE_PULL
    assert f"Pod/{name}-head: container ray-head: ImagePullBackOff no such image" in namespaced.out
    assert f"RayJob/{NAME} stays: mend it, then run the same command again" in namespaced.err


def test_its_pods_run_where_the_services_do() -> None:
    like = {"imagePullSecrets": [{"name": "registry"}], "nodeSelector": {"kubernetes.io/arch": "amd64"}}
    found = score_objects("in.csv", OUTPUT, [], namespace="dev", image="project:1", workers=1, like=like)
    (job,) = (obj for obj in found if obj["kind"] == "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert like.items() <= group["template"]["spec"].items()
    assert like.items() <= job["spec"]["submitterPodTemplate"]["spec"].items()


def test_its_pods_are_restricted_and_none_of_the_services_selectors_finds_them(job: dict[str, Object]) -> None:
    spec = job["RayJob"]["spec"]
    cluster = spec["rayClusterSpec"]
    found = [
        spec["submitterPodTemplate"],
        cluster["headGroupSpec"]["template"],
        *(group["template"] for group in cluster["workerGroupSpecs"]),
    ]
    for template in found:
        assert template["metadata"]["labels"]["app"] == "project-score"
        assert template["spec"]["priorityClassName"] == "project-score"
        assert not template["spec"]["automountServiceAccountToken"]
        for container in template["spec"]["containers"]:
            assert RESTRICTED.items() <= container["securityContext"].items()
            assert container["image"] == "project:1"
    for kind in ("Service", "NetworkPolicy"):
        for each in of_kind("prod", kind).values():
            selector = each["spec"].get("selector") or each["spec"]["podSelector"].get("matchLabels") or {}
            assert selector.get("app") != "project-score"


def test_it_never_goes_before_the_service(job: dict[str, Object]) -> None:
    (services,) = of_kind("prod", "PriorityClass").values()
    assert job["PriorityClass"]["value"] < 0 < services["value"]
    assert job["PriorityClass"]["preemptionPolicy"] == "Never"


def test_its_own_kinds_are_valid_to_the_last_field(job: dict[str, Object]) -> None:
    for kind in ("NetworkPolicy", "PriorityClass"):
        kubernetes_validate.validate(job[kind], "1.33", strict=True)


def test_the_same_output_is_the_same_job() -> None:
    assert job_name("/data/a.csv") == job_name("/data/a.csv") != job_name("/data/b.csv")
    assert len(job_name("/data/" + "a" * 1000)) <= 47
    assert Path("/data/a.csv").name not in job_name("/data/a.csv")
