"""The namespace's quota against what its pods may ask for."""

from __future__ import annotations

import re

from tests.support.manifests import Manifest, of_kind


def test_the_quota_has_room_for_an_upgrade_at_full_size_and_not_for_much_more() -> None:
    (service,) = of_kind("prod", "RayService").values()
    cluster = service["spec"]["rayClusterConfig"]
    (group,) = cluster["workerGroupSpecs"]
    autoscaler = cluster["autoscalerOptions"]["resources"]["requests"]
    pods = [(2, cluster["headGroupSpec"]["template"]), (2 * group["maxReplicas"], group["template"])]
    most = {each["spec"]["scaleTargetRef"]["name"]: each["spec"]["maxReplicas"] for each in _scalers("prod")}
    for kind in ("Deployment", "StatefulSet"):
        for name, each in of_kind("prod", kind).items():
            pods.append((most.get(name, each["spec"].get("replicas", 1)) + 1, each["spec"]["template"]))
    needed = {"cpu": 2 * _amount(autoscaler["cpu"]), "memory": 2 * _amount(autoscaler["memory"])}
    for count, template in pods:
        for container in template["spec"]["containers"]:
            for resource in needed:
                needed[resource] += count * _amount(container["resources"]["requests"][resource])
    (quota,) = (each["spec"]["hard"] for each in of_kind("prod", "ResourceQuota").values())
    for resource, amount in needed.items():
        assert amount <= _amount(quota[f"requests.{resource}"]) <= 1.4 * amount, resource
    assert quota["limits.memory"] == quota["requests.memory"]
    assert int(quota["pods"]) >= sum(count for count, _ in pods)


def _scalers(overlay: str) -> list[Manifest]:
    return list(of_kind(overlay, "HorizontalPodAutoscaler").values())


def _amount(quantity: str) -> float:
    """CPUs, or bytes."""
    units = {"m": 1e-3, "Mi": 2**20, "Gi": 2**30}
    number, unit = re.fullmatch(r"([\d.]+)(m|Mi|Gi)?", quantity).groups()  # type: ignore[union-attr]
    return float(number) * units.get(unit, 1)
