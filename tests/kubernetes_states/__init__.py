"""What a real API server held in thirteen states of this project's manifests, shortened to what the client reads."""

from __future__ import annotations

import json
from pathlib import Path

from tests.kubernetes_api.server import KubernetesApi
from tests.support.kubernetes_objects import Object

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> list[Object]:
    """The objects of a state."""
    objects: list[Object] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return objects


def put(api: KubernetesApi, name: str) -> str:
    """Have an API server hold a state; its namespace."""
    objects = load(name)
    (namespace,) = {obj["metadata"]["namespace"] for obj in objects if obj["kind"] == "RayService"}
    for number, obj in enumerate(objects):
        meta = obj.setdefault("metadata", {})
        meta.setdefault("namespace", namespace)
        meta.setdefault("name", f"event-{number}")  # the record leaves events' names out
    api.put({"kind": "Namespace", "metadata": {"name": namespace}}, *objects)
    return str(namespace)
