"""Each fault that keeps the service from coming up: exit code, object at fault, words of the message, objects."""

from __future__ import annotations

from kuberay.errors import ExitCode
from tests.support import kubernetes_objects as objects
from tests.support.kubernetes_objects import Object

SCHEDULER = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims."
NO_IMAGE = (
    'failed to pull and unpack image "registry.example/dev/project:0a1b2c3": failed to resolve reference: not found'
)
UNSCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": SCHEDULER}
STARTING = objects.ray_service(objects.not_ready("Initializing", "RayService is initializing"))
CASES: dict[str, tuple[ExitCode, str, list[str], list[Object]]] = {
    "pending": (
        ExitCode.UNSCHEDULABLE,
        "Pod/worker-1",
        [SCHEDULER],
        [STARTING, objects.worker(phase="Pending", conditions=[UNSCHEDULED], containerStatuses=[])],
    ),
    "image pull": (
        ExitCode.IMAGE_PULL,
        "Pod/worker-1",
        ["ErrImagePull", NO_IMAGE],
        [STARTING, objects.worker(phase="Pending", **objects.waiting("ErrImagePull", NO_IMAGE))],
    ),
    "image pull, its cause in an event": (
        ExitCode.IMAGE_PULL,
        "Pod/worker-1",
        ["ImagePullBackOff", NO_IMAGE],
        [
            STARTING,
            objects.worker(
                phase="Pending",
                **objects.waiting("ImagePullBackOff", 'Back-off pulling image "registry.example/dev/project:0a1b2c3"'),
            ),
            objects.event("worker-1", "Failed", f"Failed to pull image: {NO_IMAGE}"),
        ],
    ),
    "missing secret": (
        ExitCode.CONTAINER_CONFIG,
        "Pod/worker-1",
        ["CreateContainerConfigError", 'secret "redis-password" not found'],
        [
            STARTING,
            objects.worker(
                phase="Pending", **objects.waiting("CreateContainerConfigError", 'secret "redis-password" not found')
            ),
        ],
    ),
    "missing volume": (
        ExitCode.CONTAINER_CONFIG,
        "Pod/worker-1",
        ['configmap "settings" not found'],
        [
            STARTING,
            objects.worker(phase="Pending", **objects.waiting("ContainerCreating", "")),
            objects.event("worker-1", "FailedMount", 'MountVolume.SetUp failed: configmap "settings" not found'),
        ],
    ),
    "crash loop": (
        ExitCode.CRASH_LOOP,
        "Pod/worker-1",
        ["Error, exit code 1, 5 restarts", "ModelError: model/mini has no manifest"],
        [STARTING, objects.worker(**objects.crashed())],
    ),
    "out of memory": (
        ExitCode.CRASH_LOOP,
        "Pod/worker-1",
        ["OOMKilled, exit code 137", "memory limit is too low"],
        [STARTING, objects.worker(**objects.crashed("OOMKilled", 137))],
    ),
    "waits for redis": (
        ExitCode.REDIS_WAIT,
        "Pod/lab-1",
        ["init-verify-redis-ready has waited", "redis-deployment has 0 of 1 pods available"],
        [
            objects.pod("lab-1", {"app": "lab"}, **objects.initializing("init-verify-redis-ready", 90)),
            objects.deployment("lab-api-deployment", "lab", 0),
            objects.deployment("redis-deployment", "redis", 0),
        ],
    ),
    "waits for the head": (
        ExitCode.HEAD_WAIT,
        "Pod/worker-1",
        ["wait-gcs-ready has waited"],
        [STARTING, objects.worker(**objects.initializing("wait-gcs-ready", 300))],
    ),
    "application failed": (
        ExitCode.SERVE_APPLICATION,
        "Application/sentiment",
        ["DEPLOY_FAILED: no module named serve_ap", "classifier DEPLOY_FAILED: ImportError"],
        [
            objects.ray_service(
                objects.up(
                    activeServiceStatus={},
                    pendingServiceStatus=objects.application(
                        "DEPLOY_FAILED", "no module named serve_ap", classifier=("DEPLOY_FAILED", "ImportError")
                    ),
                    conditions=[
                        objects.condition("Ready", "False", "Initializing"),
                        objects.upgrading("False"),
                    ],
                )
            )
        ],
    ),
    "application unhealthy though Ready": (
        ExitCode.SERVE_APPLICATION,
        "Application/sentiment",
        ["UNHEALTHY: the model does not answer"],
        [
            objects.ray_service(
                objects.up(activeServiceStatus=objects.application("UNHEALTHY", "the model does not answer"))
            )
        ],
    ),
    "validation failed": (
        ExitCode.VALIDATION_FAILED,
        "RayService/project-prediction",
        ["REDIS_USERNAME should not be set"],
        [objects.ray_service(objects.not_ready("ValidationFailed", "REDIS_USERNAME should not be set"))],
    ),
    "initializing timeout": (
        ExitCode.INITIALIZING_TIMEOUT,
        "RayService/project-prediction",
        ["initialization timeout of 30m exceeded", "delete", "apply again"],
        [objects.ray_service(objects.not_ready("InitializingTimeout", "initialization timeout of 30m exceeded"))],
    ),
    "quota": (
        ExitCode.ROLLOUT,
        "Deployment/lab-api-deployment",
        ["FailedCreate", "exceeded quota: project"],
        [
            objects.deployment(
                "lab-api-deployment",
                "lab",
                0,
                1,
                objects.condition(
                    "ReplicaFailure", "True", "FailedCreate", 'pods "lab-1" is forbidden: exceeded quota: project'
                ),
            )
        ],
    ),
    "rollout stuck": (
        ExitCode.ROLLOUT,
        "Deployment/redis-deployment",
        ["ProgressDeadlineExceeded"],
        [
            objects.deployment(
                "redis-deployment",
                "redis",
                0,
                1,
                objects.condition("Progressing", "False", "ProgressDeadlineExceeded", "has timed out progressing"),
            )
        ],
    ),
}
