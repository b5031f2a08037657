"""Reads the state of a RayService from its status, and whether it is ready."""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from kuberay.names import Object, conditions
from kuberay.problem import line

RUNNING = "RUNNING"


@dataclass(frozen=True)
class Application:
    """A Serve application, as its newest Ray cluster reports it."""

    name: str
    status: str
    message: str
    deployments: dict[str, str] = field(default_factory=dict)
    """Status of each Serve deployment, with its message after a colon."""


@dataclass(frozen=True)
class RayServiceState:
    """The fields of a RayService that decide whether it is ready."""

    name: str
    generation: int
    observed_generation: int
    ready: str
    """True, False or Unknown."""
    reason: str
    message: str
    upgrade_in_progress: bool
    serve_endpoints: int
    active_cluster: str
    pending_cluster: str
    applications: list[Application]

    @property
    def is_ready(self) -> bool:
        """Ready alone means only that some endpoint exists, so all fields are checked."""
        return (
            self.ready == "True"
            and self.observed_generation == self.generation
            and not self.upgrade_in_progress
            and bool(self.applications)
            and all(application.status == RUNNING for application in self.applications)
        )


def read(ray_service: Object) -> RayServiceState:
    """The state of a RayService; an application that is configured but not reported has status NOT_STARTED."""
    status = ray_service.get("status") or {}
    active, pending = (status.get(f"{which}ServiceStatus") or {} for which in ("active", "pending"))
    stated = conditions(ray_service)
    ready = stated.get("Ready") or {}
    return RayServiceState(
        name=ray_service["metadata"]["name"],
        generation=int(ray_service["metadata"].get("generation", 0)),
        observed_generation=int(status.get("observedGeneration", 0)),
        ready=ready.get("status", "Unknown"),
        reason=ready.get("reason", ""),
        message=line(ready.get("message", "")),
        upgrade_in_progress=(stated.get("UpgradeInProgress") or {}).get("status", "False") != "False",
        serve_endpoints=int(status.get("numServeEndpoints", 0)),
        active_cluster=active.get("rayClusterName", ""),
        pending_cluster=pending.get("rayClusterName", ""),
        applications=_applications(ray_service, active, pending),
    )


def _applications(ray_service: Object, active: Object, pending: Object) -> list[Application]:
    reported = {**(active.get("applicationStatuses") or {}), **(pending.get("applicationStatuses") or {})}
    names = list(reported)
    try:
        config = yaml.safe_load(ray_service["spec"].get("serveConfigV2") or "") or {}
        names = [str(item.get("name", "default")) for item in config.get("applications") or []]
    except (yaml.YAMLError, AttributeError):
        pass  # KubeRay will say so itself
    applications = []
    for name in names:
        status = reported.get(name) or {}
        deployments = {
            key: ": ".join(part for part in (item.get("status", ""), line(item.get("message", ""))) if part)
            for key, item in sorted((status.get("serveDeploymentStatuses") or {}).items())
        }
        applications.append(
            Application(name, status.get("status") or "NOT_STARTED", line(status.get("message") or ""), deployments)
        )
    return applications
