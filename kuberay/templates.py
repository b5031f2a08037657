"""The pod templates of objects."""

from __future__ import annotations

from collections.abc import Iterator

from kuberay.names import Object


def templates(objects: list[Object]) -> Iterator[tuple[Object, Object, int]]:
    """Each pod template with its owner and its initial number of pods."""
    for obj in objects:
        spec = obj.get("spec") or {}
        if obj["kind"] in ("Deployment", "StatefulSet"):
            yield obj, spec["template"], int(spec.get("replicas") or 1)
        elif obj["kind"] == "RayService":
            cluster = spec["rayClusterConfig"]
            yield obj, cluster["headGroupSpec"]["template"], 1
            for group in cluster.get("workerGroupSpecs") or []:
                count = group.get("replicas") or group.get("minReplicas") or 0
                yield obj, group["template"], int(count)


def containers(template: Object) -> list[Object]:
    """Its containers, init containers first."""
    spec = template["spec"]
    return [*(spec.get("initContainers") or []), *spec["containers"]]
