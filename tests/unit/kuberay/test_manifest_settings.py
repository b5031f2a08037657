"""What docs/how-to/kubernetes.md says that an overlay may set, set in an overlay over `prod` and over `course`."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.manifests import KUBERAY, Manifest
from tests.support.service import REPOSITORY

pytestmark = pytest.mark.slow

DOCUMENT = (REPOSITORY / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
ADDRESS, PATCHES = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)


def build(tmp_path: Path, overlay: str, components: list[str], patches: str = "") -> dict[tuple[str, str], Manifest]:
    """The objects of an overlay of one's own, by kind and name."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders the manifests, is not installed")
    copy = tmp_path / "kuberay"
    shutil.copytree(KUBERAY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    mine = copy / "overlays" / "mine"
    mine.mkdir()
    (mine / "redis.yaml").write_text(ADDRESS)
    kustomization = {
        "resources": [f"../{overlay}", "redis.yaml"],
        "components": [f"../../components/{name}" for name in components],
        **(yaml.safe_load(patches) or {}),
    }
    (mine / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    done = subprocess.run(["kubectl", "kustomize", mine], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}


def values(objects: dict[tuple[str, str], Manifest], name: str) -> set[str]:
    """The values that containers get for a variable."""
    found = re.findall(rf"'name': '{name}', 'value': '([^']*)'", str(list(objects.values())))
    return set(found)


@pytest.mark.parametrize("overlay", ["prod", "course"])
def test_a_managed_redis_takes_the_place_of_ours(tmp_path: Path, overlay: str) -> None:
    objects = build(tmp_path, overlay, ["managed-redis"])
    assert not {name for _, name in objects if name.startswith(("redis-deployment", "redis-service", "redis-config"))}
    address = yaml.safe_load(ADDRESS)["data"]
    assert values(objects, "REDIS_URL") == {address["url"], address["lab-url"]}
    assert values(objects, "REDIS_HOST") == {address["host"]}
    assert values(objects, "REDIS_PORT") == {address["port"]}
    assert "PING" not in str(objects), "a server that speaks TLS answers no plain PING"
    assert ("ConfigMap", "managed-redis") not in objects
    policies = [each for (kind, _), each in objects.items() if kind == "NetworkPolicy"]
    assert bool(policies) is (overlay == "prod")
    assert not policies or "6380" in str(policies)


def test_a_private_registry_is_asked_with_its_secret_by_every_pod(tmp_path: Path) -> None:
    objects = build(tmp_path, "prod", ["image-pull-secret"])
    pods = sum(str(each).count("'containers': [") for each in objects.values())
    assert str(objects).count("'imagePullSecrets': [{'name': 'registry'}]") == pods >= 5


def test_the_patches_of_the_document_set_what_they_say(tmp_path: Path) -> None:
    objects = build(tmp_path, "prod", [], PATCHES)
    (claim,) = objects["StatefulSet", "gcs-redis"]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "gp3"
    peers = objects["NetworkPolicy", "from-gateway"]["spec"]["ingress"][0]["from"]
    assert len(peers) == 3
    (rule,) = objects["NetworkPolicy", "project-prediction-head"]["spec"]["egress"]
    assert rule["to"][0]["ipBlock"]["cidr"] == "10.0.0.1/32"


def test_the_course_may_use_closed_doors(tmp_path: Path) -> None:
    objects = build(tmp_path, "course", ["closed-doors", "deployment/budget", "lab/budget"])
    policies = {name for kind, name in objects if kind == "NetworkPolicy"}
    assert policies == {"default-deny", "from-gateway", "lab", "project-prediction", "redis"}
    assert {name for kind, name in objects if kind == "PodDisruptionBudget"} == {"lab-api", "project-api"}
