"""The steps, in order: what each does to the service, and what has to hold meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from kuberay.errors import ExitCode
from tests.cluster import objects
from tests.cluster.kills import kill_autoscaler, kill_gcs_redis, kill_head, kill_redis, kill_worker
from tests.cluster.outcome import Bar, Outcome
from tests.cluster.stage import WORKERS, Stage
from tests.cluster.state import active_cluster, name_of, other_images

NO_IMAGE = "registry.invalid/project:none"
"""An image that no registry has: the name `invalid` is reserved for that."""
STEADY_S = 20.0
EVICT_S = 180.0
GONE_S = 300.0
PAST_DELETION_S = 150.0
"""Longer than a cluster starts and the overlay's deletion delay, so that a switch to a bad cluster would show."""


@dataclass(frozen=True)
class Step:
    """One step."""

    name: str
    run: Callable[[Stage], Outcome]
    bar: Bar


def contract(stage: Stage) -> Outcome:
    out = stage.api.execute(objects.NAME, "load", objects.run("checks"), timeout_s=180)
    said = json.loads(out.strip().splitlines()[-1])
    broken = [f"{name}: {why}" for name, why in said["broken"].items()]
    return Outcome(notes=[f"{said['checks']} checks"], missed=broken)


def steady(stage: Stage) -> Outcome:
    stage.hold(STEADY_S)
    return Outcome()


def scale_up(stage: Stage) -> Outcome:
    stage.client.expect("scale", "3", "4", timeout_s=120)
    return Outcome(stage.settle(workers=3, timeout_s=420))


def scale_down(stage: Stage) -> Outcome:
    """The maximum falls too, so that nobody has to wait until a worker counts as idle."""
    stage.client.expect("scale", str(WORKERS), str(WORKERS), timeout_s=120)

    def why() -> str:
        found = len(stage.pods("worker"))
        return "" if found <= WORKERS else f"there are {found} workers"

    took_s = stage.until("the workers are fewer", why, timeout_s=900)
    stage.settle()
    stage.client.expect("scale", str(WORKERS), "4", timeout_s=120)
    return Outcome(took_s)


def upgrade(stage: Stage) -> Outcome:
    before = active_cluster(stage.ray_service())
    outcome = Outcome(stage.apply_well(stage.overlays.plain(), stage.next_image))
    stage.image = stage.next_image
    after = active_cluster(stage.ray_service())
    if after == before:
        outcome.missed.append("the same RayCluster serves as before: do the images differ?")
    outcome.missed += other_images(stage.api.items("Pod"), after, stage.image)
    stage.one_cluster()
    return outcome


def broken_image(stage: Stage) -> Outcome:
    result = stage.apply(stage.overlays.plain(), NO_IMAGE, timeout_s=240, problem_s=45)
    outcome = Outcome(notes=[f"wait ended with {result.code} after {result.seconds:.0f} s"])
    if result.code != ExitCode.IMAGE_PULL:
        outcome.missed.append(f"`apply --wait` ended with {result.code}, not {ExitCode.IMAGE_PULL}: {result.last_line}")
    stage.hold(5)
    return outcome


def broken_model(stage: Stage) -> Outcome:
    began = time.monotonic()
    result = stage.apply(stage.overlays.without_model(), stage.image, timeout_s=PAST_DELETION_S, problem_s=90)
    outcome = Outcome(notes=[f"wait ended with {result.code} after {result.seconds:.0f} s"])
    if not result.code:
        outcome.missed.append("`apply --wait` says that a service whose model never answers is up")
    stage.hold(max(5.0, PAST_DELETION_S + 90 - (time.monotonic() - began)))
    return outcome


def way_back(stage: Stage) -> Outcome:
    took_s = stage.apply_well(stage.overlays.plain(), stage.image)
    stage.settle()
    stage.one_cluster()
    return Outcome(took_s)


def config_edit(stage: Stage) -> Outcome:
    before = active_cluster(stage.ray_service())
    outcome = Outcome(stage.apply_well(stage.overlays.edited(), stage.image))
    if active_cluster(stage.ray_service()) != before:
        outcome.missed.append("the edit was not taken in place: another RayCluster serves")
    stage.settle()
    return outcome


def eviction(stage: Stage) -> Outcome:
    """Each worker in turn, as a drain of its node would; the next one when the service is whole again."""
    outcome = Outcome(0.0)
    for worker in map(name_of, stage.ready_workers()):
        stage.settle()
        stage.say(f"evicting {worker}")
        began = time.monotonic()
        stage.until(
            "the disruption budget allows an eviction",
            lambda worker=worker: "" if stage.api.evict(worker) else "not yet",  # type: ignore[misc]
            EVICT_S,
        )
        stage.until("the evicted pod is gone", lambda worker=worker: _is_there(stage, worker), GONE_S)  # type: ignore[misc]
        stage.settle()
        took_s = time.monotonic() - began
        outcome.ready_s = max(outcome.ready_s or 0.0, took_s)
        outcome.notes.append(f"{worker}: {took_s:.0f} s")
    return outcome


def delete(stage: Stage) -> Outcome:
    stage.stop_load()
    began = time.monotonic()
    result = stage.client.run("delete", "--yes", "--overlay", stage.overlays.plain(), timeout_s=600)
    left = _left(stage)
    outcome = Outcome(notes=[f"delete ended after {result.seconds:.0f} s"])
    if result.code:
        outcome.missed.append(f"`{result.command}` ended with {result.code}: {result.last_line}")
    if left:
        outcome.missed.append(f"{len(left)} pods were still there when delete ended: {', '.join(left[:4])}")
    stage.until("the service's pods are gone", lambda: ", ".join(_left(stage)), GONE_S)
    outcome.ready_s = time.monotonic() - began
    return outcome


STEPS = (
    Step("contract", contract, Bar.NOTHING_FAILS),
    Step("steady load", steady, Bar.NOTHING_FAILS),
    Step("scale up", scale_up, Bar.NOTHING_FAILS),
    Step("scale down", scale_down, Bar.NOTHING_FAILS),
    Step("upgrade", upgrade, Bar.NOTHING_FAILS),
    Step("broken image", broken_image, Bar.NOTHING_FAILS),
    Step("way back from the broken image", way_back, Bar.NOTHING_FAILS),
    Step("broken model", broken_model, Bar.NOTHING_FAILS),
    Step("way back from the broken model", way_back, Bar.NOTHING_FAILS),
    Step("config edit", config_edit, Bar.NOTHING_FAILS),
    Step("eviction", eviction, Bar.NOTHING_FAILS),
    Step("head killed", kill_head, Bar.NO_HIT_FAILS),
    Step("gcs-redis killed", kill_gcs_redis, Bar.NO_HIT_FAILS),
    Step("redis killed", kill_redis, Bar.NO_HIT_FAILS),
    Step("worker killed", kill_worker, Bar.NONE),
    Step("autoscaler killed", kill_autoscaler, Bar.NO_HIT_FAILS),
    Step("delete", delete, Bar.NONE),
)


def _is_there(stage: Stage, name: str) -> str:
    return "it is there" if name in map(name_of, stage.pods("worker")) else ""


def _left(stage: Stage) -> list[str]:
    return [name_of(pod) for pod in stage.api.items("Pod") if name_of(pod) != objects.NAME]
