"""One run: a namespace of its own, the steps one after another, and nothing left behind."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from tests.cluster.api import Api
from tests.cluster.errors import StepFailed, SuiteError
from tests.cluster.outcome import Bar, Outcome
from tests.cluster.report import Row, missed
from tests.cluster.stage import Stage
from tests.cluster.steps import STEPS, Step

FIRST = "first apply"
FIRST_S = 900.0
LEAD_S = 2.0
TAIL_S = 8.0
"""After a step, so that what it did is seen and the load has reported it."""
PRECONDITION_S = 300.0
CLEAN_UP_S = 420.0
RAY_GOES_S = 150.0
DELETE = "delete"


def choose(only: str) -> list[Step]:
    """The steps whose name the regular expression finds.

    Raises:
        ValueError: it is no regular expression, or finds none; the message names the steps.
    """
    names = ", ".join(step.name for step in STEPS)
    try:
        chosen = [step for step in STEPS if re.search(only, step.name, re.IGNORECASE)]
    except re.error as error:
        raise ValueError(f"--only {only} is no regular expression ({error})") from None
    if not chosen:
        raise ValueError(f"--only {only} finds no step; there are: {names}")
    return chosen


@contextlib.contextmanager
def namespace(api: Api, run: str, say: Callable[[str], None], *, keep: bool) -> Iterator[None]:
    """Make the namespace, and delete it again however the block ends, unless it is kept."""
    say(f"making the namespace {api.namespace} on {api.host}")
    api.create_namespace(run)
    try:
        yield
    finally:
        if keep:
            say(f"kept: the namespace {api.namespace}; kubectl delete namespace {api.namespace} removes it")
        else:
            _clean_up(api, say)


def run_steps(stage: Stage, steps: list[Step], rates: tuple[float, float], report: Callable[[Row], None]) -> None:
    """The first apply, then each step under load.

    Args:
        stage: with a namespace that is there.
        steps: in order.
        rates: requests a second on cached and on new texts.
        report: called with each row when it is done.

    Raises:
        SuiteError: nothing further can be measured.
    """
    first = _first(stage, rates)
    report(first)
    if first.missed:
        raise SuiteError("the service did not come up, so no step was run")
    patience_s = PRECONDITION_S
    for step in steps:
        stage.say(f"step: {step.name}")
        row = measure(stage, step, patience_s)
        report(row)
        if any(text.startswith("not run") for text in row.missed):
            patience_s = min(patience_s, 30.0)  # once in vain is enough


def measure(stage: Stage, step: Step, patience_s: float) -> Row:
    """Run a step under load, cut its window out of what was recorded, and judge it."""
    row = Row(step.name, step.bar, began=_now())
    if not step.name.startswith("way back"):
        try:
            stage.settle(hold_s=2, timeout_s=patience_s)
        except StepFailed as error:
            row.missed.append(f"not run: {error}")
            return row
    start = time.time()
    try:
        stage.hold(LEAD_S)
        outcome = step.run(stage)
    except StepFailed as error:
        outcome = Outcome(missed=[str(error), *_explained(stage)])
    if step.name != DELETE:
        stage.hold(TAIL_S)
    end = time.time() - 2.0  # what is younger may not have been written yet
    row.seconds, row.ready_s = end - start, outcome.ready_s
    row.no_endpoint_s = stage.watcher.timeline.seconds(0, start, end)
    row.unknown_s = stage.watcher.timeline.seconds(None, start, end)
    row.streams = stage.records.window(start, end)
    row.notes, row.missed = outcome.notes, outcome.missed + missed(step.bar, row.streams, row.no_endpoint_s)
    if row.unknown_s:
        row.notes.append(f"the endpoints could not be watched for {row.unknown_s:.1f} s")
    return row


def _first(stage: Stage, rates: tuple[float, float]) -> Row:
    row = Row(FIRST, Bar.NONE, began=_now())
    began = time.monotonic()
    try:
        stage.say("first apply; images that no node has may take minutes")
        row.ready_s = stage.apply_well(stage.overlays.plain(), stage.image, FIRST_S)
        stage.settle()
        stage.say("starting the load")
        stage.start_load(*rates)
    except StepFailed as error:
        row.missed = [str(error), *_explained(stage)]
    row.seconds = time.monotonic() - began
    return row


def _explained(stage: Stage) -> list[str]:
    """What the client's `status` says is wrong."""
    try:
        problems = stage.client.status().get("problems") or []
    except StepFailed:
        return []
    return [f"status: {each.get('code')} {each.get('subject')}: {str(each.get('message'))[:300]}" for each in problems]


def _clean_up(api: Api, say: Callable[[str], None]) -> None:
    say(f"deleting the namespace {api.namespace}; Ctrl-C leaves it to the cluster")
    try:
        _delete_ray(api)
        gone = api.delete_namespace(CLEAN_UP_S)
    except (StepFailed, SuiteError) as error:
        say(f"error: {error}; look for what is left with: kubectl get all --namespace {api.namespace}")
        return
    say("nothing is left" if gone else f"the namespace {api.namespace} is still going after {CLEAN_UP_S:.0f} s")


def _delete_ray(api: Api) -> None:
    """Let the operator clean up as long as the namespace is whole: in one that ends it cannot make its own jobs."""
    until = time.monotonic() + RAY_GOES_S
    with contextlib.suppress(StepFailed):
        api.delete_ray_services()
        while api.items("RayCluster") and time.monotonic() < until:
            time.sleep(1.0)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
