from __future__ import annotations

import inspect
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ray.serve._private import application_state

from model.directory import open_directory
from model.export import export
from model.manifest import write_manifest
from serve_app.local import ports
from serve_app.local.check import check
from serve_app.local.config import SOURCE, local_config
from serve_app.local.cpus import usable_cpus
from serve_app.local.deploying import Deploying
from serve_app.local.ports import FREE_PORTS, free_port, holder, is_free, side_ports
from serve_app.local.run_folder import reserve, run_folder
from serve_app.settings import Settings
from tests.support.models import save_distilbert
from tests.zoo.models import MODELS
from tests.zoo.tokenizers import TOKENIZERS

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_configuration_is_serve_config_with_the_port_and_what_fits() -> None:
    (whole,) = yaml.safe_load(SOURCE.read_text())["applications"]
    fitted = local_config(8123, cpus=2)
    assert fitted["http_options"]["port"] == 8123
    ingress, classifier = fitted["applications"][0]["deployments"]
    assert ingress["autoscaling_config"]["max_replicas"] == 1
    assert classifier["autoscaling_config"]["max_replicas"] == 1
    assert (ingress["ray_actor_options"]["num_cpus"], classifier["ray_actor_options"]["num_cpus"]) == (0, 2)
    (large,) = local_config(8000, cpus=64)["applications"]
    assert large["deployments"][1]["ray_actor_options"]["num_cpus"] == 4
    scaling = [deployment["autoscaling_config"] for deployment in large["deployments"]]
    assert scaling == [deployment["autoscaling_config"] for deployment in whole["deployments"]]
    assert (large["import_path"], large["args"]) == (whole["import_path"], whole["args"])


@pytest.mark.parametrize(("cpus", "replicas", "each"), [(2, 2, 1), (16, 2, 4), (2, 4, 0.5), (8, 3, 2)])
def test_so_many_replicas_of_each_kind_share_the_cpus(cpus: int, replicas: int, each: float) -> None:
    for deployment in local_config(8123, cpus, replicas)["applications"][0]["deployments"]:
        assert deployment["num_replicas"] == replicas
        assert "autoscaling_config" not in deployment
    assert deployment["ray_actor_options"]["num_cpus"] == each


def test_a_taken_port_is_reported_with_its_holder_and_a_way_out(taken_port: int) -> None:
    assert not is_free(taken_port)
    assert f"(process {os.getpid()})" in holder(taken_port)
    (problem,) = check(taken_port)
    assert problem.startswith(f"port {taken_port} is taken by ")
    assert "make run PORT=" in problem


def test_a_port_that_is_taken_on_ipv6_is_reported_if_it_is_to_be_opened_there() -> None:
    with socket.socket(socket.AF_INET6) as taken:
        try:
            taken.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        taken.listen()
        port = taken.getsockname()[1]
        assert check(port) == []
        (problem,) = check(port, "::1")
        assert problem.startswith(f"port {port} is taken by ")


def test_a_tls_version_that_is_none_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"rediss://h?ssl_min_version={10**20}")
    (problem,) = check(free_port())
    assert problem.startswith("REDIS_URL has ssl_ options that cannot be used")


def test_bad_settings_and_a_missing_model_are_reported_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_MAX_TEXTS", "0")
    monkeypatch.setenv("SENTIMENT_CACHE_TTL_S", "soon")
    assert [line.partition(":")[0] for line in check(free_port())] == ["max_texts", "cache_ttl_s"]
    monkeypatch.delenv("SENTIMENT_MAX_TEXTS")
    monkeypatch.delenv("SENTIMENT_CACHE_TTL_S")
    monkeypatch.setenv("SENTIMENT_MODEL_DIR", "/nowhere")
    (problem,) = check(free_port())
    assert problem.startswith("/nowhere/config.json cannot be read")


@pytest.mark.parametrize("name", ["NaN", "a git-lfs pointer", "two equal names", "an id beyond the embedding"])
def test_a_model_that_cannot_be_served_is_refused_before_serve_starts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specimen = next(specimen for specimen in [*MODELS, *TOKENIZERS] if specimen.name == name)
    monkeypatch.setenv("SENTIMENT_MODEL_DIR", str(specimen.make(tmp_path / "model")))
    monkeypatch.setenv("SENTIMENT_PRECISION", "fp32")
    (problem,) = check(free_port())
    assert re.search(str(specimen.refused), problem)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "int8/model.xml", "int8/model.bin", "int8/golden.json"]
)
def test_a_swapped_file_of_a_model_is_refused_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, other = save_distilbert(tmp_path / "ours"), save_distilbert(tmp_path / "other", activation="relu")
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with (other / "tokenizer.json").open("a") as file:
        file.write("\n")
    for model in (ours, other):
        write_manifest(model, "a-model", "a revision", ["config.json", "model.safetensors", "tokenizer.json"])
        export(open_directory(model))
    monkeypatch.setenv("SENTIMENT_MODEL_DIR", str(ours))
    monkeypatch.setenv("SENTIMENT_PRECISION", "int8")
    assert check(free_port()) == []
    swapped = (other / name).read_bytes()
    if name == "int8/golden.json":  # made to look like one of these weights
        swapped = json.dumps({**json.loads(swapped), "content": open_directory(ours).content}).encode()
    assert swapped != (ours / name).read_bytes()
    (ours / name).write_bytes(swapped)
    (problem,) = check(free_port())
    # golden texts name the graph's files, which then are not theirs
    assert problem.startswith(f"{ours / name} " if "golden" not in name else f"{ours / 'int8'}/model.")


def test_an_export_that_is_missing_or_older_than_the_weights_is_made_and_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_distilbert(tmp_path / "model")
    monkeypatch.setenv("SENTIMENT_MODEL_DIR", str(model))
    monkeypatch.setenv("SENTIMENT_PRECISION", "int8")
    assert check(free_port()) == []
    export(open_directory(model))
    with (model / "config.json").open("a") as config:
        config.write(" ")
    assert check(free_port()) == []


def test_an_address_of_redis_that_cannot_be_used_keeps_the_service_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:aB3/dE+f=@127.0.0.1:6379/0")
    (problem,) = check(free_port())
    assert problem.startswith("REDIS_URL is no URL; ")
    assert "SENTIMENT_REDIS_PASSWORD" in problem
    assert "dE+f" not in problem


def test_side_ports_move_where_they_are_taken_and_not_named(
    taken_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.local.run_folder.PLACE", tmp_path)
    monkeypatch.setattr("serve_app.local.ports.SIDE_PORTS", {"TAKEN": taken_port, "NAMED": taken_port})
    with run_folder() as folder:
        moved = side_ports({"NAMED": "1"}, folder)
    assert set(moved) == {"TAKEN"}
    assert moved["TAKEN"] != str(taken_port)


def test_no_side_port_is_the_services_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr("serve_app.local.run_folder.PLACE", tmp_path)
    monkeypatch.setattr("serve_app.local.ports.SIDE_PORTS", {"SIDE": port})
    with run_folder() as folder:
        reserve(folder, [port])
        assert side_ports({}, folder)["SIDE"] != str(port)


def test_a_port_below_1024_says_that_it_takes_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.local.check.needs_rights", lambda port: port < 1024)
    (problem,) = check(80)
    assert problem.startswith("port 80 may be opened by root alone; choose one from 1024 on: make run PORT=")


def test_the_port_of_rays_dashboard_is_refused() -> None:
    (problem,) = check(8265)
    assert problem.startswith("port 8265 is that of Ray's dashboard; choose another: make run PORT=")


def test_another_machines_address_is_refused() -> None:
    (problem,) = check(free_port(), "203.0.113.9")
    assert problem.startswith("BIND is not an address of this machine; ")


def test_an_empty_drain_file_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_DRAIN_FILE", "")
    assert Settings().drain_file is None


def test_a_drain_file_in_no_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_DRAIN_FILE", "/no/such/folder/drain")
    assert check(free_port()) == ["SENTIMENT_DRAIN_FILE is in /no/such/folder, which is not a folder"]


def test_a_drain_file_whose_name_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTIMENT_DRAIN_FILE", str(tmp_path / ("x" * 300)))
    assert check(free_port()) == ["SENTIMENT_DRAIN_FILE cannot be used (File name too long); choose another path"]


@pytest.mark.parametrize(("limit", "cpus"), [("100000 100000", 1), ("150000 100000", 1), ("50000 100000", 1)])
def test_a_containers_cpu_limit_counts_in_whole_cpus(limit: str, cpus: int, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(limit)
    assert usable_cpus(file) == cpus


def test_without_a_limit_the_machines_cpus_count(tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    machine = usable_cpus(file)
    assert machine >= 1
    file.write_text("max 100000")
    assert usable_cpus(file) == machine
    file.write_text(f"{100000 * 10 * machine} 100000")
    assert usable_cpus(file) == machine


@pytest.mark.parametrize(
    "message",
    [
        "Deploying app '{self._name}' failed",
        "Runtime env setup for app '{self._name}' failed",
        "Unexpected error occurred while deploying application",
        "Failed to update the deployments {failed_deployments}",
    ],
)
def test_serve_gives_up_by_the_words_of_the_installed_one(message: str, tmp_path: Path) -> None:
    assert message in inspect.getsource(application_state)
    log = tmp_path / "serve.log"
    log.write_text("Deploying app 'sentiment'.\n")
    deploying = Deploying(log)
    assert not deploying.given_up()
    said = message.replace("{self._name}", "sentiment").replace("{failed_deployments}", "['classifier']")
    with log.open("a") as more:
        more.write(said[:12])
        more.flush()
        assert not deploying.given_up(), "the line is not whole yet"
        more.write(said[12:])
    assert deploying.given_up()
    assert Deploying(log).given_up()


@pytest.mark.skipif(not EPHEMERAL.exists(), reason="only Linux says which ports it gives to outgoing connections")
def test_a_free_port_is_none_that_an_outgoing_connection_may_take_before_it_is_used() -> None:
    first, last = map(int, EPHEMERAL.read_text().split())
    assert not set(FREE_PORTS) & set(range(first, last + 1))
    assert {free_port() for _ in range(20)} <= set(FREE_PORTS)


def test_a_port_in_use_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(ports, "FREE_PORTS", range(port, port + 1))
        with pytest.raises(OSError, match=f"no port from {port} to {port} is free"):
            free_port()
