"""docs/kuberay-client.md says what the code does."""

from __future__ import annotations

import json
import re
from typing import Any

from kuberay.cli import app
from kuberay.errors import ExitCode
from kuberay.names import DEPLOYMENTS
from kuberay.snapshot import Snapshot
from kuberay.status import summarize
from kuberay.wait import Patience
from tests import kubernetes_objects as objects
from tests.service import REPOSITORY

TEXT = (REPOSITORY / "docs" / "kuberay-client.md").read_text(encoding="utf-8")


def test_every_command_is_listed_with_its_help() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (.+) \|$", TEXT.partition("## Exit codes")[0], re.MULTILINE)
    commands = {
        command.callback.__name__: command.callback.__doc__ for command in app.registered_commands if command.callback
    }
    assert dict(listed) == commands
    assert len(listed) == 9


def test_every_exit_code_is_listed_with_its_meaning() -> None:
    listed = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+) \|$", TEXT, re.MULTILINE)
    assert listed == [(str(int(code)), code.name, code.text) for code in ExitCode]


def test_the_times_are_those_of_the_code() -> None:
    patience = Patience()
    assert f"`--problem-for` seconds\n({patience.problem_s:.0f})" in TEXT
    assert f"`--timeout` seconds ({patience.timeout_s:.0f})" in TEXT


def test_the_json_example_has_the_shape_of_the_code() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    crashing = objects.worker(**objects.crashed())
    deployments = {role: objects.deployment(name, role) for role, name in DEPLOYMENTS.items()}
    snapshot = Snapshot("dev", objects.ray_service(), deployments, [objects.head(), crashing])
    real = summarize(snapshot).to_json()
    assert shape(json.loads(example)) == shape(real)
    assert real == json.loads(json.dumps(real))


def shape(value: Any) -> Any:
    """Keys and types; of a list, that of its first item; of Serve deployments, whose names are data, none."""
    if isinstance(value, dict):
        return {
            key: None if key == "deployments" and isinstance(item, dict) else shape(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [shape(value[0])] if value and not isinstance(value[0], str) else []
    return type(value).__name__
