"""The suite's own objects: the load's pod, its code, and the policies that let it reach the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Object = dict[str, Any]
INSIDE = Path(__file__).resolve().parent / "inside"
NAME = "cluster-test-load"
SERVICE = "project-prediction-service"
PORT = 8000
LABELS = {"app": NAME}
RUNS = ("ask.py", "load.py", "probe.py", "checks.py")
CODE = "/cluster-test"
PACKAGE = "tests.cluster.inside"
EMPTY = "__init__.py"


def code() -> Object:
    """ConfigMap with the modules that run inside."""
    data = {name: (INSIDE / name).read_text(encoding="utf-8") for name in RUNS}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": data | {EMPTY: ""}}


def policies() -> list[Object]:
    """NetworkPolicies: the load's pod reaches the service's port and DNS, and nobody else is let in anywhere."""
    load, service = {"podSelector": {"matchLabels": LABELS}}, {"matchLabels": {"app": "project-prediction"}}
    dns = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    to_service = {"to": [{"podSelector": service}], "ports": [{"port": PORT}]}
    return [
        _policy(f"{NAME}-in", service, policyTypes=["Ingress"], ingress=[{"from": [load], "ports": [{"port": PORT}]}]),
        _policy(NAME, {"matchLabels": LABELS}, policyTypes=["Egress"], egress=[to_service, {"ports": dns}]),
    ]


def pod(image: str, hits_per_s: float, new_per_s: float) -> Object:
    """The pod that makes the load; it meets PodSecurity `restricted`."""
    packages = [Path("tests"), Path("tests/cluster"), Path("tests/cluster/inside")]
    # with __init__.py in each folder, or a package `tests` in the image would come first
    items = [{"key": EMPTY, "path": str(folder / EMPTY)} for folder in packages]
    items += [{"key": name, "path": str(packages[-1] / name)} for name in RUNS]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": LABELS, "annotations": {"sidecar.istio.io/inject": "false"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "load",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": [*run("load"), f"--hits-per-s={hits_per_s}", f"--new-per-s={new_per_s}"],
                    "workingDir": CODE,
                    "env": [{"name": "PYTHONPATH", "value": CODE}, {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
                    "resources": {
                        "requests": {"cpu": "50m", "memory": "64Mi"},
                        "limits": {"cpu": "1", "memory": "256Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "code", "mountPath": CODE, "readOnly": True}],
                }
            ],
            "volumes": [{"name": "code", "configMap": {"name": NAME, "items": items}}],
        },
    }


def run(module: str) -> list[str]:
    """Command that runs a module inside against the service."""
    return ["python", "-u", "-m", f"{PACKAGE}.{module}", f"--host={SERVICE}", f"--port={PORT}"]


def probe(addresses: list[str], seconds: float) -> list[str]:
    """Command that sends new texts to workers by their own addresses."""
    return ["python", "-u", "-m", f"{PACKAGE}.probe", f"--port={PORT}", f"--seconds={seconds}", *addresses]


def _policy(name: str, selector: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": selector, **spec},
    }
