"""The run's own overlays, over tests/cluster/overlay, in a folder of its own: nothing in the checkout is written."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

BASE = Path(__file__).resolve().parent / "overlay"
SECRETS = {"redis-auth": "password", "project-ray-token": "auth_token", "gcs-redis-auth": "password"}
"""The overlay's Secrets and their keys."""
NO_MODEL = {"name": "SENTIMENT_MODEL_TIMEOUT_S", "value": "0.000001"}
"""With it everything starts and no prediction ever succeeds: health and every new text are 503."""
Patch = dict[str, Any]


@dataclass
class Overlays:
    """Writes overlays for one run; Secrets are drawn once, so that two overlays differ in nothing else."""

    folder: Path
    namespace: str
    storage_class: str | None = None
    _values: dict[str, str] = field(
        default_factory=lambda: {name: secrets.token_hex(24) for name in SECRETS}, repr=False
    )

    def plain(self) -> str:
        """Path of the overlay as it is."""
        return self._write("plain", [])

    def without_model(self) -> str:
        """Path of one whose model never answers."""
        groups = ("headGroupSpec", "workerGroupSpecs/0")
        paths = [f"/spec/rayClusterConfig/{group}/template/spec/containers/0/env/-" for group in groups]
        return self._write("without-model", [{"op": "add", "path": path, "value": NO_MODEL} for path in paths])

    def edited(self) -> str:
        """Path of one with another Serve configuration, for which Serve replaces every replica in place."""
        config = edit((BASE / "serve_config.yaml").read_text(encoding="utf-8"))
        return self._write("edited", [{"op": "replace", "path": "/spec/serveConfigV2", "value": config}])

    def _write(self, name: str, operations: list[Patch]) -> str:
        place = (self.folder / name).resolve()
        place.mkdir(exist_ok=True)
        generators = [
            {"name": name, "behavior": "replace", "literals": [f"{SECRETS[name]}={value}"]}
            for name, value in self._values.items()
        ]
        patches = [_patch("RayService", operations)] if operations else []
        if self.storage_class:
            where = "/spec/volumeClaimTemplates/0/spec/storageClassName"
            patches.append(_patch("StatefulSet", [{"op": "add", "path": where, "value": self.storage_class}]))
        kustomization = {
            "namespace": self.namespace,
            "resources": [os.path.relpath(BASE, place)],
            "secretGenerator": generators,
            "generatorOptions": {"disableNameSuffixHash": True},
            "patches": patches,
        }
        file = place / "kustomization.yaml"
        file.touch(mode=0o600)  # it holds the Secrets' values
        file.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        return str(place)


def edit(serve_config: str) -> str:
    """The same Serve configuration with other arguments of the application, which change no answer."""
    config = yaml.safe_load(serve_config)
    for application in config["applications"]:
        application["args"] = {**(application.get("args") or {}), "health_max_age_s": 11.0}
    return yaml.safe_dump(config, sort_keys=False)


def _patch(kind: str, operations: list[Patch]) -> dict[str, Any]:
    return {"target": {"kind": kind}, "patch": yaml.safe_dump(operations, sort_keys=False)}
