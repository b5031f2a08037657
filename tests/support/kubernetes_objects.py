"""Objects as a cluster returns them: of a service that is up, and of each fault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

Object = dict[str, Any]
NAMESPACE = "dev"
CLUSTER = "project-prediction-2x8kq"
SERVE_CONFIG = "applications:\n- name: sentiment\n  import_path: serve_app.app:build_app\n"


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ray_service(status: Object | None = None, generation: int = 1) -> Object:
    groups = [{"groupName": "model", "replicas": 2, "minReplicas": 2, "maxReplicas": 4, "template": template("ray")}]
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "project-prediction", "namespace": NAMESPACE, "generation": generation},
        "spec": {
            "serveConfigV2": SERVE_CONFIG,
            "rayClusterConfig": {"headGroupSpec": {"template": template("ray")}, "workerGroupSpecs": groups},
        },
        "status": up() if status is None else status,
    }


def ray_cluster(name: str = CLUSTER) -> Object:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": NAMESPACE, "generation": 1},
        "spec": ray_service()["spec"]["rayClusterConfig"],
    }


def template(container: str) -> Object:
    return {"spec": {"containers": [{"name": container, "image": "registry.example/dev/project:0a1b2c3"}]}}


def up(**changes: Any) -> Object:
    """The status of a RayService that is up, with changes."""
    return {
        "activeServiceStatus": {
            "rayClusterName": CLUSTER,
            "applicationStatuses": {
                "sentiment": {
                    "status": "RUNNING",
                    "serveDeploymentStatuses": {"classifier": {"status": "HEALTHY"}, "ingress": {"status": "HEALTHY"}},
                }
            },
        },
        "pendingServiceStatus": {},
        "numServeEndpoints": 2,
        "observedGeneration": 1,
        "conditions": [condition("Ready", "True", "NonZeroServeEndpoints"), upgrading("False")],
        "serviceStatus": "Running",
    } | changes


def not_ready(reason: str, message: str) -> Object:
    return up(
        activeServiceStatus={},
        numServeEndpoints=0,
        conditions=[condition("Ready", "False", reason, message), upgrading("False")],
    )


def application(status: str, message: str = "", **deployments: tuple[str, str]) -> Object:
    statuses = {name: {"status": state, "message": text} for name, (state, text) in deployments.items()}
    return {
        "rayClusterName": CLUSTER,
        "applicationStatuses": {
            "sentiment": {"status": status, "message": message, "serveDeploymentStatuses": statuses}
        },
    }


def condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(60),
        "observedGeneration": 1,
    }


def upgrading(status: str) -> Object:
    reason = "BothActivePendingClustersExist" if status == "True" else "NoPendingCluster"
    return condition("UpgradeInProgress", status, reason)


def deployment(name: str, app: str, available: int = 1, wanted: int = 1, *conditions: Object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "generation": 1},
        "spec": {"replicas": wanted, "selector": {"matchLabels": {"app": app}}, "template": template(app)},
        "status": {
            "observedGeneration": 1,
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": available,
            "availableReplicas": available,
            "conditions": list(conditions),
        },
    }


def pod(name: str, labels: Object, **status: Any) -> Object:
    running = {"running": {"startedAt": ago(300)}}
    container = {"name": "ray", "image": "registry.example/dev/project:0a1b2c3", "ready": True, "restartCount": 0}
    usual = {
        "phase": "Running",
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
        "containerStatuses": [{**container, "state": running, "lastState": {}, "started": True}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"containers": [{"name": "ray"}], "nodeName": "ip-10-0-1-7"},
        "status": usual | status,
    }


def worker(**status: Any) -> Object:
    return pod("worker-1", {"ray.io/node-type": "worker", "ray.io/cluster": CLUSTER}, **status)


def head(**status: Any) -> Object:
    return pod("head-1", {"ray.io/node-type": "head", "ray.io/cluster": CLUSTER}, **status)


def waiting(reason: str, message: str, name: str = "ray", **more: Any) -> Object:
    """Status fields of a pod whose container waits."""
    state = {"waiting": {"reason": reason, "message": message}}
    entry = {"name": name, "image": "registry.example/dev/project:0a1b2c3", "ready": False, "restartCount": 0}
    return {
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
        "containerStatuses": [{**entry, "state": state, "lastState": {}, **more}],
    }


def crashed(reason: str = "Error", code: int = 1, restarts: int = 5) -> Object:
    ended = {"reason": reason, "exitCode": code, "startedAt": ago(90), "finishedAt": ago(60)}
    message = "back-off 2m40s restarting failed container=ray pod=worker-1_dev(0d1f)"
    return waiting("CrashLoopBackOff", message, restartCount=restarts, lastState={"terminated": ended})


def initializing(name: str, seconds: float) -> Object:
    entry = {"name": name, "image": "busybox:1.37.0", "ready": False, "restartCount": 0, "started": True}
    blocked = waiting("PodInitializing", "")
    return {
        **blocked,
        "phase": "Pending",
        "initContainerStatuses": [{**entry, "state": {"running": {"startedAt": ago(seconds)}}, "lastState": {}}],
    }


def event(name: str, reason: str, message: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.18a{reason}", "namespace": NAMESPACE},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": ago(5),
        "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": name},
    }


def everything_up() -> list[Object]:
    """A RayService that is up, with lab and redis beside it."""
    return [
        ray_service(),
        ray_cluster(),
        head(),
        worker(),
        deployment("redis-deployment", "redis"),
        deployment("lab-api-deployment", "lab"),
        pod("redis-1", {"app": "redis"}),
        pod("lab-1", {"app": "lab"}),
    ]
