"""Checks of the process that runs Ray."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from serve_app.score import child
from serve_app.score.errors import ScoreError


def node(*, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"Alive": alive, "Resources": resources}


def test_more_threads_than_any_node_has_cpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ray, "nodes", lambda: [node(CPU=2.0), node(CPU=4.0), node(memory=1.0), node(alive=False, CPU=64)]
    )
    child._check_threads(4)
    with pytest.raises(ScoreError, match=r"^--threads 5: Ray's largest node has 4 CPUs; use --threads 4 or less$"):
        child._check_threads(5)


def test_a_cluster_without_cpus_may_add_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [node(memory=1.0)])
    child._check_threads(4)
