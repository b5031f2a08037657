"""The steps, in order: what each does to the service, and what has to hold meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from tests.cluster import objects
from tests.cluster.errors import StepFailed
from tests.cluster.inside import kill
from tests.cluster.stage import WORKERS, Stage
from tests.cluster.state import active_cluster, name_of, other_images

NO_IMAGE = "registry.invalid/project:none"
"""An image that no registry has: the name `invalid` is reserved for that."""
IMAGE_PULL = 12
"""What `wait` ends with when an image cannot be pulled."""
STEADY_S = 20.0
EVICT_S = 180.0
GONE_S = 300.0
PROBE_S = 30.0
NEW_TEXT_S = 3.0
"""How long a new text may take when a worker vanishes."""
PAST_DELETION_S = 150.0
"""Longer than a cluster starts and the overlay's deletion delay, so that a switch to a bad cluster would show."""
AUTOSCALER = "autoscaler"
AUTOSCALER_ARGUMENT = "kuberay-autoscaler"


class Bar(Enum):
    """What has to hold while a step runs."""

    NOTHING_FAILS = "0 failed requests, 0 s without an endpoint"
    NO_HIT_FAILS = "0 failed requests on cached texts"
    NONE = "its own"


@dataclass
class Outcome:
    """What a step found by itself."""

    ready_s: float | None = None
    """Seconds until the service was ready again, in the step's own sense."""
    notes: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


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
    if result.code != IMAGE_PULL:
        outcome.missed.append(f"`apply --wait` ended with {result.code}, not {IMAGE_PULL}: {result.last_line}")
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


def kill_head(stage: Stage) -> Outcome:
    return _kill(stage, "head", hold_s=20)


def kill_gcs_redis(stage: Stage) -> Outcome:
    """The head ends by itself some time after its state's Redis was away, so what is up has to stay up for long."""
    return _kill(stage, "gcs-redis", hold_s=90)


def kill_redis(stage: Stage) -> Outcome:
    return _kill(stage, "redis", hold_s=15)


def kill_worker(stage: Stage) -> Outcome:
    """A worker vanishes without a reset; the others are asked by their own addresses, since only they can answer."""
    workers = stage.ready_workers()
    victim, others = name_of(workers[0]), [str(pod["status"]["podIP"]) for pod in workers[1:]]
    if not others:
        raise StepFailed("there is one worker only, so none is left to answer")
    said: list[str] = []

    def ask() -> None:
        command = objects.probe(others, PROBE_S)
        try:
            said.append(stage.api.execute(objects.NAME, "load", command, timeout_s=PROBE_S + 60))
        except StepFailed as error:
            said.append(json.dumps({"requests": 0, "failed": 0, "slowest_s": 0.0, "kinds": [str(error)]}))

    probe = threading.Thread(target=ask, daemon=True)
    probe.start()
    stage.hold(5)
    stage.api.delete_pod(victim, grace_s=0)
    outcome = Outcome(stage.settle(hold_s=20))
    probe.join(PROBE_S + 90)
    outcome.notes, outcome.missed = judge_probe(said[0] if said else "")
    return outcome


def judge_probe(line: str) -> tuple[list[str], list[str]]:
    """Notes, and what was missed, from the line that the probe of the workers that are left printed."""
    try:
        found = json.loads(line.strip().splitlines()[-1])
        requests, failed, slowest_s = int(found["requests"]), int(found["failed"]), float(found["slowest_s"])
        kinds = ", ".join(found["kinds"])
    except (ValueError, KeyError, TypeError, IndexError):
        return [], ["the workers that are left could not be asked"]
    notes = [f"{requests} new texts at the workers that are left, slowest {slowest_s:.1f} s"]
    if not requests:
        return notes, [f"the workers that are left could not be asked: {kinds}"]
    missed = [f"{failed} new texts failed at the workers that are left: {kinds}"] if failed else []
    if slowest_s > NEW_TEXT_S:
        missed.append(f"a new text took {slowest_s:.1f} s, more than {NEW_TEXT_S:.0f} s")
    return notes, missed


def kill_autoscaler(stage: Stage) -> Outcome:
    head = stage.one("head")
    before = _autoscaler(stage, head, "kill")
    if not before:
        raise StepFailed(f"no process with the argument {AUTOSCALER_ARGUMENT} runs in the container {AUTOSCALER}")

    def why() -> str:
        now = _autoscaler(stage, head, "list")
        return "" if now and now != before else "the autoscaler's process is not back"

    took_s = stage.until("the autoscaler is back", why, timeout_s=120)
    stage.settle(hold_s=15)
    if stage.one("head") != head:
        return Outcome(took_s, notes=["the head was replaced"])
    return Outcome(took_s)


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


def _kill(stage: Stage, role: str, hold_s: float) -> Outcome:
    stage.api.delete_pod(stage.one(role), grace_s=0)
    return Outcome(stage.settle(hold_s=hold_s))


def _autoscaler(stage: Stage, head: str, action: str) -> str:
    """Ids of the autoscaler's processes."""
    code = kill_source()
    command = ["python", "-c", code, AUTOSCALER_ARGUMENT, action]
    return stage.api.execute(head, AUTOSCALER, command, timeout_s=60).strip()


def kill_source() -> str:
    """The module that runs in the autoscaler's container, where no file can be put."""
    with open(kill.__file__, encoding="utf-8") as file:  # noqa: PTH123
        return file.read()


def _is_there(stage: Stage, name: str) -> str:
    return "it is there" if name in map(name_of, stage.pods("worker")) else ""


def _left(stage: Stage) -> list[str]:
    return [name_of(pod) for pod in stage.api.items("Pod") if name_of(pod) != objects.NAME]
