"""The suite for clusters makes a namespace of its own, removes it however it ends, and touches no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.api import RUN_LABEL, Api
from tests.cluster.errors import StepFailed, SuiteError
from tests.cluster.run import namespace
from tests.kubernetes_api.server import Handler, KubernetesApi
from tests.kubernetes_api.state import failure
from tests.support.service import REPOSITORY
from tests.support.wait import until


class WithPost(Handler):
    """The test's API server, with what creates and evicts."""

    def do_POST(self) -> None:  # noqa: N802  (http.server's own name)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        *_, last = self.path.partition("?")[0].split("/")
        name = body["metadata"]["name"]
        if last == "eviction":
            self.reply(429, failure(429, "Cannot evict pod as it would violate the budget", "TooManyRequests"))
        elif last == "namespaces" and self.server.get("namespaces", name, ""):
            self.reply(409, failure(409, f'namespaces "{name}" already exists', "AlreadyExists"))
        else:
            body["metadata"]["uid"] = f"uid-of-{name}"
            self.server.put(body)
            self.reply(201, body)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KubernetesApi]:
    server = KubernetesApi(tmp_path)
    server.RequestHandlerClass = WithPost
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def api(server: KubernetesApi) -> Api:
    return Api(str(server.kubeconfig), "test", "cluster-test-1")


def names(server: KubernetesApi) -> list[str]:
    return sorted(name for plural, _, name in server.state.objects if plural == "namespaces")


def test_the_namespace_is_labelled_enforces_restricted_and_is_gone_afterwards(server: KubernetesApi, api: Api) -> None:
    lines: list[str] = []
    with namespace(api, "1", lines.append, keep=False):
        made = server.get("namespaces", "cluster-test-1", "")
        assert made is not None
        assert made["metadata"]["labels"][RUN_LABEL] == "1"
        assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert names(server) == []
    assert lines[-1] == "nothing is left"


def test_a_namespace_that_is_there_already_is_refused_and_stays(server: KubernetesApi, api: Api) -> None:
    server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cluster-test-1", "uid": "other"}})
    with pytest.raises(SuiteError, match="is there already"), namespace(api, "1", print, keep=False):
        pass
    assert names(server) == ["cluster-test-1"]
    assert not server.sent("DELETE")


@pytest.mark.parametrize("error", [KeyboardInterrupt, StepFailed, SuiteError, ZeroDivisionError])
def test_the_namespace_goes_after_a_failure_and_after_ctrl_c(
    server: KubernetesApi, api: Api, error: type[BaseException]
) -> None:
    with pytest.raises(error), namespace(api, "1", lambda _: None, keep=False):
        raise error
    assert names(server) == []


def test_keep_keeps_it_and_says_how_to_remove_it(server: KubernetesApi, api: Api) -> None:
    lines: list[str] = []
    with namespace(api, "1", lines.append, keep=True):
        pass
    assert names(server) == ["cluster-test-1"]
    assert "kubectl delete namespace cluster-test-1" in lines[-1]


def test_a_namespace_that_another_has_made_meanwhile_is_not_deleted(server: KubernetesApi, api: Api) -> None:
    api.create_namespace("1")
    made = server.get("namespaces", "cluster-test-1", "")
    assert made is not None
    made["metadata"]["uid"] = "another"
    assert api.delete_namespace(5), "this run's own is gone"
    assert names(server) == ["cluster-test-1"]


def test_nothing_outside_of_its_namespace_is_written(server: KubernetesApi, api: Api) -> None:
    with namespace(api, "1", lambda _: None, keep=False):
        assert api.items("Pod") == []
    changed = {request.path for request in server.state.requests if request.method != "GET"}
    assert changed == {"/api/v1/namespaces/cluster-test-1"}


def test_a_disruption_budget_that_forbids_an_eviction_is_no_error(api: Api) -> None:
    assert not api.evict("worker-1")


def test_a_context_that_is_not_there_is_one_line(server: KubernetesApi) -> None:
    with pytest.raises(SuiteError, match="no usable kubeconfig"):
        Api(str(server.kubeconfig), "typo", "cluster-test-1")


def suite(server: KubernetesApi, *arguments: str) -> list[str]:
    images = ["--image", "r/a:a", "--next-image", "r/a:b", "--kubeconfig", str(server.kubeconfig)]
    return [sys.executable, "-m", "tests.cluster", "--context", "test", *images, *arguments]


def test_ctrl_c_while_the_service_comes_up_leaves_nothing(server: KubernetesApi, tmp_path: Path) -> None:
    process = subprocess.Popen(
        suite(server, "--json", str(tmp_path / "figures.json")),
        cwd=REPOSITORY,
        env=os.environ | {"NO_COLOR": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        until(lambda: server.sent("PATCH"), "the client applies", 60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not [name for name in names(server) if name.startswith("cluster-test-")]


def test_a_step_that_there_is_not_is_a_usage_error(server: KubernetesApi) -> None:
    done = subprocess.run(
        suite(server, "--only", "typo"), cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "finds no step" in done.stderr
    assert not server.state.requests
