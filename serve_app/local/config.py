"""serve_config.yaml, fitted to this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).resolve().parent.parent.parent / "serve_config.yaml"


def local_config(port: int, cpus: int) -> dict[str, Any]:
    """The configuration that runs everywhere, with another port, and no more replicas than the CPUs can hold.

    Serve would otherwise ask for replicas that never find a place, and say so every half minute.
    """
    config: dict[str, Any] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    config["http_options"]["port"] = port
    most = {"ingress": max(1, cpus // 2), "classifier": max(1, cpus - 1)}
    for application in config["applications"]:
        for deployment in application["deployments"]:
            scaling = deployment["autoscaling_config"]
            scaling["max_replicas"] = min(scaling["max_replicas"], most[deployment["name"]])
            scaling["min_replicas"] = min(scaling["min_replicas"], scaling["max_replicas"])
    return config
