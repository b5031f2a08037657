"""Adapts serve_config.yaml to this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from serve_app.haproxy import LOOPBACK

MAX_THREADS = 4
SOURCE = Path(__file__).resolve().parent.parent.parent / "serve_config.yaml"


def local_config(port: int, cpus: int, replicas: int | None = None) -> dict[str, Any]:
    """serve_config.yaml with this port, and with replicas that fit this many CPUs.

    The replicas' own ports are on loopback; callers reach HAProxy.

    A classifier reserves up to MAX_THREADS CPUs, but needs them only while it predicts, so the ingress replicas
    reserve none. Replicas that do not fit would be requested again and again. With `replicas` there is a fixed
    number of each kind, and the classifiers share the CPUs.
    """
    config: dict[str, Any] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    config["http_options"] |= {"host": LOOPBACK, "port": port}
    threads = min(cpus // (replicas or 1), MAX_THREADS) or cpus / (replicas or 1)
    fits = {"ingress": (0, max(1, cpus // 2)), "classifier": (threads, max(1, int(cpus / threads)))}
    for application in config["applications"]:
        for deployment in application["deployments"]:
            num_cpus, max_replicas = fits[deployment["name"]]
            deployment["ray_actor_options"]["num_cpus"] = num_cpus
            deployment.pop("max_replicas_per_node", None)  # there is only one node
            scaling = deployment["autoscaling_config"]
            scaling["max_replicas"] = min(scaling["max_replicas"], max_replicas)
            scaling["min_replicas"] = min(scaling["min_replicas"], scaling["max_replicas"])
            if replicas is not None:
                del deployment["autoscaling_config"]
                deployment["num_replicas"] = replicas
    return config
