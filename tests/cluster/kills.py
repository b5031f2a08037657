"""The steps that kill one part of the service with no grace."""

from __future__ import annotations

import json
import threading

from kuberay.names import AUTOSCALER
from tests.cluster import objects
from tests.cluster.errors import StepFailed
from tests.cluster.inside import kill
from tests.cluster.outcome import Outcome
from tests.cluster.stage import Stage
from tests.cluster.state import name_of

PROBE_S = 30.0
NEW_TEXT_S = 3.0
"""How long a new text may take when a worker vanishes."""
AUTOSCALER_ARGUMENT = "kuberay-autoscaler"


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
