"""Edits the Serve configuration that a RayService has as text."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from kuberay.names import Object


def with_bounds(text: str, minimum: int, maximum: int) -> str:
    """The text with these bounds for each deployment with one replica per worker."""

    def change(deployment: Object) -> None:
        if deployment.get("max_replicas_per_node") == 1:
            # Serve needs at least one; a worker without a replica would never be ready
            deployment["autoscaling_config"] |= {"min_replicas": max(1, minimum), "max_replicas": max(1, maximum)}

    return _changed(text, change)


def with_initial(text: str, replicas: int | None) -> str:
    """The text with this many initial replicas, within each deployment's bounds; None removes the number."""

    def change(deployment: Object) -> None:
        config = deployment["autoscaling_config"]
        config.pop("initial_replicas", None)
        minimum = int(config.get("min_replicas", 1))
        if replicas is not None and (start := min(replicas, int(config.get("max_replicas", 1)))) > minimum:
            config["initial_replicas"] = start

    return _changed(text, change)


def same(one: str, other: str) -> bool:
    """Whether both mean the same, however they are written."""
    try:
        return bool(yaml.safe_load(one) == yaml.safe_load(other))
    except yaml.YAMLError:
        return one == other


def _changed(text: str, change: Callable[[Object], None]) -> str:
    """The text after a change of each autoscaled deployment; the same text if nothing changes."""
    try:
        config = yaml.safe_load(text)
        for application in config.get("applications") or []:
            for deployment in application.get("deployments") or []:
                if isinstance(deployment.get("autoscaling_config"), dict):
                    change(deployment)
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        return text  # KubeRay will report its fault
    return text if config == yaml.safe_load(text) else yaml.safe_dump(config, sort_keys=False)
