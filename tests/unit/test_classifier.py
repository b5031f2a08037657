"""The classifier with its real engine and Serve's real batching, in this process."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from ray.serve import context
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve._private.config import DeploymentConfig
from ray.serve.schema import ReplicaRank

import serve_app.classifier
from model.directory import open_directory
from serve_app.identity import identify
from serve_app.model_client import Classified, Refused
from serve_app.settings import Settings
from tests.wait import until_async


@dataclass
class Setup:
    module: ModuleType
    classifier: Any
    runs: list[int]
    """How many texts each forward pass had."""

    def slow(self, gate: asyncio.Event) -> asyncio.Task[Classified]:
        """Have the engine be busy until the gate is open, and a call that keeps it so."""
        loop = asyncio.get_running_loop()
        score = self.classifier._engine.score

        def wait_and_score(sequences: list[list[int]]) -> Any:
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            return score(sequences)

        self.classifier._engine.score = wait_and_score
        return asyncio.create_task(self.classifier.classify(["It keeps the engine busy."], 30.0))


@pytest.fixture
def threads() -> int:
    return 1


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch, threads: int) -> Setup:
    """A replica as Serve makes it. serve.batch keeps one queue for the module, so each test has one of its own."""
    replica = ReplicaID("test", DeploymentID(name="classifier", app_name="test"))
    monkeypatch.setattr(context, "_INTERNAL_REPLICA_CONTEXT", None)  # to be put back
    context._set_internal_replica_context(
        replica_id=replica,
        servable_object=lambda: None,
        _deployment_config=DeploymentConfig(max_ongoing_requests=1000),
        rank=ReplicaRank(rank=0, node_rank=0, local_rank=0),
        world_size=1,
    )
    spec = importlib.util.spec_from_file_location("serve_app.classifier_again", str(serve_app.classifier.__file__))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "_threads", lambda: threads)
    classifier = module.Classifier(Settings(precision="fp32", batch_tokens=512, max_wait_s=0.1))
    runs: list[int] = []
    score = classifier._engine.score

    def count_and_score(sequences: list[list[int]]) -> Any:
        runs.append(len(sequences))
        return score(sequences)

    classifier._engine.score = count_and_score
    return Setup(module, classifier, runs)


async def test_it_tells_its_tokens_its_rate_and_the_model_that_an_ingress_works_out_too(setup: Setup) -> None:
    answer = await setup.classifier.classify(["I love you.", "I hate you."], 30.0)
    assert isinstance(answer, Classified)
    assert answer.tokens == 12
    assert answer.tokens_per_s > 100
    settings = Settings(precision="fp32")
    assert answer.identity == identify(open_directory(settings.model_dir), settings)
    assert [low < high for low, high in answer.scores] == [True, False]


async def test_the_metric_of_waiting_tokens_falls_to_none_with_the_last_request(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(setup.classifier._metrics.waiting_tokens, "set", told.append)
    await asyncio.gather(*(setup.classifier.classify([f"{n} wait"] * 20, 30.0) for n in range(10)))
    assert max(told) > 0
    assert told[-1] == 0
    gate = asyncio.Event()
    busy = setup.slow(gate)
    await until_async(lambda: told[-1] > 0, "the engine is busy")
    alone = told[-1]
    gone = asyncio.create_task(setup.classifier.classify(["gone"] * 20, 30.0))
    await until_async(lambda: told[-1] > alone, "it waits")
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert told[-1] == alone
    gate.set()
    await busy
    assert told[-1] == 0


async def test_what_is_too_late_is_dropped_before_the_forward_pass(setup: Setup) -> None:
    gate = asyncio.Event()
    busy = setup.slow(gate)
    await until_async(lambda: setup.classifier._lanes.busy, "the engine is busy")
    late = asyncio.create_task(setup.classifier.classify(["late"] * 3, 0.01))
    early = asyncio.create_task(setup.classifier.classify(["early"] * 5, 30.0))
    over = time.perf_counter() + 0.01
    await until_async(lambda: time.perf_counter() > over, "its time is over")
    gate.set()
    refused = await late
    assert isinstance(refused, Refused)
    assert refused.late
    assert isinstance(await early, Classified)
    assert isinstance(await busy, Classified)
    assert setup.runs == [1, 5]


async def test_what_was_cancelled_is_dropped_and_harms_nobody(setup: Setup) -> None:
    gate = asyncio.Event()
    busy = setup.slow(gate)
    await until_async(lambda: setup.classifier._lanes.busy, "the engine is busy")
    gone = [asyncio.create_task(setup.classifier.classify([f"gone {n}"] * 3, 30.0)) for n in range(10)]
    stays = asyncio.create_task(setup.classifier.classify(["stays"] * 5, 30.0))
    await until_async(lambda: setup.classifier._backlog.tokens > 11 * 5, "all wait")
    for each in gone:
        each.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    gate.set()
    assert isinstance(await stays, Classified)
    await busy
    assert setup.runs == [1, 5]
    assert setup.classifier._backlog.tokens == 0


@pytest.mark.parametrize("threads", [2])
async def test_batches_run_side_by_side_on_threads_of_their_own(setup: Setup) -> None:
    classifier, loop = setup.classifier, asyncio.get_running_loop()
    busy, gate = asyncio.Event(), asyncio.Event()
    sizes: list[int] = []
    for lane in classifier._engine.lanes:
        score = lane.score

        def wait_and_score(sequences: list[list[int]], score: Any = score) -> Any:
            sizes.append(len(sequences))
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            return score(sequences)

        lane.score = wait_and_score
    first = setup.slow(busy)
    await until_async(lambda: classifier._lanes.busy, "the engine is busy")
    texts = [f"text {number}" for number in range(8)]
    calls = [asyncio.create_task(classifier.classify([text], 30.0)) for text in texts]
    await until_async(lambda: len(classifier._lanes._waiting) == len(texts), "all wait")
    busy.set()
    await first
    await until_async(lambda: len(sizes) == 2, "both lanes are busy")
    assert sizes == [4, 4]
    gate.set()
    answers = await asyncio.gather(*calls)
    wanted = [await classifier.classify([text], 30.0) for text in texts]
    for answer, alone in zip(answers, wanted, strict=True):
        assert answer.scores[0] == pytest.approx(alone.scores[0], abs=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no policies of their own")
async def test_only_the_engine_stands_back(setup: Setup) -> None:
    policy = setup.classifier._threads.submit(os.sched_getscheduler, 0).result()
    assert policy == os.SCHED_IDLE
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own")
async def test_where_its_policy_is_forbidden_a_low_priority_does(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    module = setup.module
    with ThreadPoolExecutor(1, initializer=module._stand_back) as threads:
        niceness = threads.submit(os.getpriority, os.PRIO_PROCESS, 0).result()
    assert niceness == os.getpriority(os.PRIO_PROCESS, 0) + module.NICENESS


async def test_a_full_replica_refuses_and_is_not_full_for_ever(setup: Setup) -> None:
    setup.classifier._backlog.tokens_per_s = 1000.0
    gate = asyncio.Event()
    busy = setup.slow(gate)
    await until_async(lambda: setup.classifier._lanes.busy, "the engine is busy")
    calls = [asyncio.create_task(setup.classifier.classify([f"{n} wait"] * 50, 30.0)) for n in range(40)]
    probe = asyncio.create_task(setup.classifier.classify(["probe"], 30.0, bounded=False))
    await until_async(lambda: any(call.done() for call in calls), "some are refused")
    gate.set()
    answers = await asyncio.gather(*calls)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert 0 < len(refused) < len(calls)
    assert all(answer.wait_s > 0 and not answer.late for answer in refused)
    assert isinstance(await probe, Classified)
    await busy
    assert isinstance(await setup.classifier.classify(["room again"], 30.0), Classified)


async def test_the_bound_holds_for_requests_that_are_tokenized_together(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.classifier._backlog.tokens_per_s = 1000.0
    gate, together = asyncio.Event(), asyncio.Event()
    busy = setup.slow(gate)
    await until_async(lambda: setup.classifier._lanes.busy, "the engine is busy")

    async def to_thread(function: Any, *arguments: Any) -> Any:
        await together.wait()
        return function(*arguments)

    monkeypatch.setattr(setup.module.asyncio, "to_thread", to_thread)
    calls = [asyncio.create_task(setup.classifier.classify([f"{n} wait"] * 50, 30.0)) for n in range(40)]
    await asyncio.sleep(0)
    together.set()
    await until_async(lambda: any(call.done() for call in calls), "some are refused")
    gate.set()
    answers = await asyncio.gather(*calls)
    assert 0 < sum(isinstance(answer, Refused) for answer in answers) < len(calls)
    await busy


async def test_ray_66140_a_sizing_error_ends_the_batching_loop_and_health_tells(setup: Setup) -> None:
    assert isinstance(await setup.classifier.classify(["fine"], 30.0), Classified)
    await setup.classifier.check_health()
    lost = asyncio.create_task(setup.classifier._score("an item without a size"))
    for _ in range(10):  # turns of the event loop, in which it reads the item
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="batching loop has ended"):
        await setup.classifier.check_health()
    lost.cancel()


@pytest.mark.parametrize("texts", [[], [""], ["\u0000"], ["word " * 5000], ["a"] * 1000, ["😀" * 2000, ""]])
async def test_no_text_makes_an_item_that_batching_cannot_size(setup: Setup, texts: list[str]) -> None:
    assert len((await setup.classifier.classify(texts, 30.0)).scores) == len(texts)
    await setup.classifier.check_health()
