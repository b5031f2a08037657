from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
import yaml

from serve_app.local.__main__ import check
from serve_app.local.config import SOURCE, local_config
from serve_app.local.ports import free_port, holder, is_free, side_ports


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


def test_a_taken_port_is_told_with_its_holder_and_a_way_out(taken_port: int) -> None:
    assert not is_free(taken_port)
    assert f"(process {os.getpid()})" in holder(taken_port)
    (problem,) = check(taken_port)
    assert problem.startswith(f"port {taken_port} is taken by ")
    assert "make run PORT=" in problem


def test_bad_settings_and_a_missing_model_are_told_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_MAX_TEXTS", "0")
    monkeypatch.setenv("SENTIMENT_CACHE_TTL_S", "soon")
    assert [line.partition(":")[0] for line in check(free_port())] == ["max_texts", "cache_ttl_s"]
    monkeypatch.delenv("SENTIMENT_MAX_TEXTS")
    monkeypatch.delenv("SENTIMENT_CACHE_TTL_S")
    monkeypatch.setenv("SENTIMENT_MODEL_DIR", "/nowhere")
    (problem,) = check(free_port())
    assert problem.startswith("/nowhere/config.json cannot be read")


def test_side_ports_move_where_they_are_taken_and_not_named(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.local.ports.SIDE_PORTS", {"TAKEN": taken_port, "NAMED": taken_port})
    moved = side_ports({"NAMED": "1"})
    assert set(moved) == {"TAKEN"}
    assert moved["TAKEN"] != str(taken_port)
