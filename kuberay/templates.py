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


_OWN = ("project", "ray-head", "ray-worker", "lab")


def own_container(spec: Object) -> Object:
    """The project's own container of a pod or of a template's pod; a patch may put a sidecar before it."""
    found: list[Object] = spec["containers"]
    return next((each for each in found if each["name"] in _OWN), found[0])


def containers(template: Object) -> list[Object]:
    """Its containers, init containers first."""
    spec = template["spec"]
    return [*(spec.get("initContainers") or []), *spec["containers"]]
