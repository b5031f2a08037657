"""serve_config.yaml, fitted to this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from serve_app.haproxy import LOOPBACK

MOST_THREADS = 4
SOURCE = Path(__file__).resolve().parent.parent.parent / "serve_config.yaml"


def local_config(port: int, cpus: int, replicas: int | None = None) -> dict[str, Any]:
    """The configuration that runs everywhere, with another port, and replicas that fit this machine's CPUs.

    The replicas' own ports are on loopback; HAProxy faces the callers.

    One classifier gets up to four of them, which it lends to nobody but needs only while it predicts, so the
    ingress replicas are counted as free. Replicas that find no place would be asked for again and again.
    With `replicas` there are that many of each at all times, whose classifiers share the CPUs.
    """
    config: dict[str, Any] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    config["http_options"] |= {"host": LOOPBACK, "port": port}
    threads = min(cpus // (replicas or 1), MOST_THREADS) or cpus / (replicas or 1)
    fits = {"ingress": (0, max(1, cpus // 2)), "classifier": (threads, max(1, int(cpus / threads)))}
    for application in config["applications"]:
        for deployment in application["deployments"]:
            num_cpus, most = fits[deployment["name"]]
            deployment["ray_actor_options"]["num_cpus"] = num_cpus
            deployment.pop("max_replicas_per_node", None)  # there is only one node
            scaling = deployment["autoscaling_config"]
            scaling["max_replicas"] = min(scaling["max_replicas"], most)
            scaling["min_replicas"] = min(scaling["min_replicas"], scaling["max_replicas"])
            if replicas is not None:
                del deployment["autoscaling_config"]
                deployment["num_replicas"] = replicas
    return config
