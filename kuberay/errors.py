"""Exit codes of `python -m kuberay`, and the one error that carries them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes; the text of each is its line in docs/reference/kuberay-client.md."""

    text: str

    def __new__(cls, value: int, text: str) -> ExitCode:
        """A code with its text."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    OK = 0, "done; for `status` and `wait`: everything is ready"
    FAILED = 1, "the API server answered something that has no code of its own"
    USAGE = 2, "the command line is wrong"
    RENDER = 3, "kubectl is missing, or the overlay cannot be built"
    NO_CLUSTER = 4, "no kubeconfig, no such context, or the API server cannot be reached"
    FORBIDDEN = 5, "the credentials are refused, or RBAC does not allow it"
    CRD_MISSING = 6, "the cluster does not know a kind: KubeRay's operator or Istio is not installed"
    NOT_FOUND = 7, "the namespace or the service is not there: nothing was applied"
    CONFLICT = 8, "another manager owns a field that apply would change, or another job writes to the output of `score`"
    REJECTED = 9, "the API server or an admission policy refuses an object"
    NOT_READY = 10, "not ready, or not within --timeout, and nothing is known to be wrong"
    UNSCHEDULABLE = 11, "a pod is Pending: no node has room for it, or no StorageClass makes its volume"
    IMAGE_PULL = 12, "an image cannot be pulled"
    CONTAINER_CONFIG = 13, "a container cannot be made: a ConfigMap, Secret, volume or network is missing or wrong"
    CRASH_LOOP = 14, "a container ends again and again, or pods are killed for memory or evicted"
    REDIS_WAIT = 15, "an init container waits for redis"
    HEAD_WAIT = 16, "a Ray worker waits for the Ray head"
    SERVE_APPLICATION = 17, "a Serve application or deployment failed or is unhealthy"
    VALIDATION_FAILED = 18, "KubeRay refuses the RayService"
    INITIALIZING_TIMEOUT = 19, "KubeRay gave up starting; terminal: delete and apply again"
    ROLLOUT = 20, "a workload does not progress, or its pods are refused: quota, LimitRange, PodSecurity"
    CONNECTION_LOST = 21, "the API server stopped answering during `wait`"
    OPERATOR = 22, "KubeRay's operator is missing, locked out or too old"
    AUTOSCALER = 23, "the autoscaler beside the Ray head has ended: serving goes on, scaling and edits do not"
    INTERRUPTED = 130, "Ctrl-C; the cluster goes on by itself"


class ClientError(Exception):
    """An error that the user can act on: one line, and the code to exit with."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Unreachable(ClientError):
    """The API server did not answer, or is not available now; a retry may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(ExitCode.NO_CLUSTER, message)


class Conflict(ClientError):
    """Other managers own fields that an apply would change."""

    def __init__(self, managers: frozenset[str], message: str) -> None:
        super().__init__(ExitCode.CONFLICT, message)
        self.managers = managers
