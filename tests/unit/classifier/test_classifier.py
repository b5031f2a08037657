"""The classifier with its real engine and Serve's real batching, in this process."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.serve import context
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve._private.config import DeploymentConfig
from ray.serve.batching import _BatchQueue
from ray.serve.schema import ReplicaRank

import serve_app.classifier.replica
from model.directory import open_directory
from serve_app.classifier.queue import Request
from serve_app.classifier.replica import slice_texts
from serve_app.identity import identify
from serve_app.idle_priority import NICENESS, run_at_idle_priority
from serve_app.messages import Answer
from serve_app.scaling import LOAD
from serve_app.settings import Settings
from tests.support.wait import until_async


@dataclass
class Setup:
    module: ModuleType
    classifier: Any
    runs: list[int]
    """How many texts each forward pass had."""

    def slow(self, gate: asyncio.Event) -> asyncio.Task[Answer]:
        """Have the engine be busy until the gate is open, and a call that keeps it so."""
        loop = asyncio.get_running_loop()
        score = self.classifier._passes._engine.score

        def wait_and_score(sequences: list[list[int]]) -> Any:
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            return score(sequences)

        self.classifier._passes._engine.score = wait_and_score
        return asyncio.create_task(self.classifier.classify(["It keeps the engine busy."], 30.0))


@pytest.fixture(scope="session", autouse=True)
def queues_end_without_a_loop() -> None:
    """Ray's destructor of a batch queue makes an event loop where none runs; left open, it fails a later test."""
    pytest.MonkeyPatch().delattr(_BatchQueue, "__del__")  # never undone: the collector may come at any time


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
    spec = importlib.util.spec_from_file_location(
        "serve_app.classifier_again", str(serve_app.classifier.replica.__file__)
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    here = SimpleNamespace(get_assigned_resources=lambda: {"CPU": threads})
    monkeypatch.setattr(module.ray, "get_runtime_context", lambda: here)
    classifier = module.Classifier(Settings(precision="fp32", batch_tokens=512, max_wait_s=0.1))
    runs: list[int] = []
    score = classifier._passes._engine.score

    def count_and_score(sequences: list[list[int]]) -> Any:
        runs.append(len(sequences))
        return score(sequences)

    classifier._passes._engine.score = count_and_score
    return Setup(module, classifier, runs)


async def test_it_reports_its_tokens_its_rate_and_the_model_that_an_ingress_identifies_too(setup: Setup) -> None:
    answer = await setup.classifier.classify(["I love you.", "I hate you."], 30.0)
    assert answer.tokens_per_s > 100
    settings = Settings(precision="fp32")
    assert answer.identity == identify(open_directory(settings.model_dir), "fp32", None)
    assert [score is not None and score[0] < score[1] for score in answer.scores] == [True, False]


async def test_the_metric_of_waiting_tokens_falls_to_none_with_the_last_request(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = setup.classifier._passes.queue
    exported: list[float] = []
    monkeypatch.setattr(setup.classifier._metrics.waiting_tokens, "set", exported.append)
    many = asyncio.gather(*(setup.classifier.classify([f"{n} wait"] * 20, 30.0) for n in range(10)))
    await until_async(lambda: queue.tokens > 0, "the engine is busy")
    await many
    gate = asyncio.Event()
    busy = setup.slow(gate)
    await until_async(lambda: queue.tokens > 0, "the engine is busy")
    alone = queue.tokens
    gone = asyncio.create_task(setup.classifier.classify(["gone"] * 20, 30.0))
    await until_async(lambda: queue.tokens > alone, "it waits")
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    setup.classifier.check_health()
    gate.set()
    await busy
    setup.classifier.check_health()
    assert exported == [alone, 0]


async def test_requests_of_one_call_are_answered_refused_and_failed_each_by_itself(setup: Setup) -> None:
    requests = [["I love you."], ["I hate you.", "Well."], []]
    alone = [await setup.classifier.classify(texts, 30.0) for texts in requests]
    together = await setup.classifier.classify_all(requests, 30.0, 30.0)
    for one, other in zip(alone, together, strict=True):
        assert np.allclose(one.scores, other.scores, atol=1e-5)
    gate = asyncio.Event()
    busy = setup.slow(gate)
    await until_async(lambda: len(setup.classifier._passes._free) == 0, "the engine is busy")
    setup.classifier._passes.queue.tokens_per_s = 1000.0
    many = [["word " * 500]] * 30  # half a second each
    call = asyncio.create_task(setup.classifier.classify_all([["good"], [object()], *many], 30.0, 2.0))
    await until_async(lambda: len(list(setup.classifier._passes.queue)) > 3, "they are queued or refused")
    gate.set()
    good, failed, *others = await call
    await busy
    assert None not in good.scores
    assert failed is None
    assert {other.busy_s > 0 for other in others} == {True, False}
    assert all((other.busy_s > 0) == (None in other.scores) for other in others)
    assert {each.wait_s for each in (good, *others)} == {0.0}, "the queue as it is when the call ends"


async def test_what_is_too_late_is_dropped_before_the_forward_pass(setup: Setup) -> None:
    gate = asyncio.Event()
    busy = setup.slow(gate)
    await until_async(lambda: len(setup.classifier._passes._free) == 0, "the engine is busy")
    late = asyncio.create_task(setup.classifier.classify(["late"] * 3, 0.01))
    early = asyncio.create_task(setup.classifier.classify(["early"] * 5, 30.0))
    over = time.perf_counter() + 0.01
    await until_async(lambda: time.perf_counter() > over, "its time is over")
    gate.set()
    assert (await late).scores == [None] * 3
    assert None not in (await early).scores
    assert None not in (await busy).scores
    assert setup.runs == [1, 5]


async def test_what_was_cancelled_is_dropped_and_harms_nobody(setup: Setup) -> None:
    gate = asyncio.Event()
    busy = setup.slow(gate)
    await until_async(lambda: not setup.classifier._passes._free, "the engine is busy")
    gone = [asyncio.create_task(setup.classifier.classify([f"gone {n}"] * 3, 30.0)) for n in range(10)]
    stays = asyncio.create_task(setup.classifier.classify(["stays"] * 5, 30.0))
    await until_async(lambda: setup.classifier._passes.queue.tokens > 11 * 5, "all wait")
    for each in gone:
        each.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    gate.set()
    assert None not in (await stays).scores
    await busy
    assert setup.runs == [1, 5]
    assert setup.classifier._passes.queue.tokens == 0


async def test_what_is_not_reached_in_time_is_none_and_the_rest_is_answered(setup: Setup) -> None:
    score = setup.classifier._passes._engine.score

    def slowly(sequences: list[list[int]]) -> Any:
        time.sleep(0.1)
        return score(sequences)

    setup.classifier._passes._engine.score = slowly
    answer = await setup.classifier.classify([f"{n} " + "word " * 400 for n in range(30)], 1.5)
    known = [scores is not None for scores in answer.scores]
    assert known == sorted(known, reverse=True), "the first ones"
    assert 0 < sum(known) < 30
    assert setup.classifier._passes.queue.tokens == 0


async def test_an_engine_that_fails_fails_its_pass_alone(setup: Setup) -> None:
    score = setup.classifier._passes._engine.score
    setup.classifier._passes._engine.score = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        await setup.classifier.classify(["bad"], 30.0)
    setup.classifier._passes._engine.score = score
    assert None not in (await setup.classifier.classify(["good"], 30.0)).scores


async def test_an_engine_that_fails_for_a_later_pass_of_a_list_leaves_what_was_computed_before(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    score, calls = setup.classifier._passes._engine.score, itertools.count()
    setup.classifier._passes._engine.score = lambda ids: score(ids) if next(calls) < 2 else 1 / 0
    with caplog.at_level(logging.ERROR, logger="ray.serve"):
        answer = await setup.classifier.classify(["one " * 300, "two " * 300, "bad " * 300, "bad " * 300], 30.0)
    assert [scores is not None for scores in answer.scores] == [True, True, False, False]
    assert answer.failed
    assert not answer.refused
    assert caplog.text.count("ZeroDivisionError: ") == 1


async def test_what_fails_in_a_call_of_several_requests_is_logged_once_for_each_pass(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    setup.classifier._passes._engine.score = lambda _: 1 / 0
    with caplog.at_level(logging.ERROR, logger="ray.serve"):
        assert await setup.classifier.classify_all([["bad"], ["worse"], ["worst"]], 30.0, 30.0) == [None] * 3
    assert caplog.text.count("ZeroDivisionError: ") == 2, "the first text's pass, and that of the other two"


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no policies of their own")
async def test_only_the_engine_stands_back(setup: Setup) -> None:
    policy = setup.classifier._threads.submit(os.sched_getscheduler, 0).result()
    assert policy == os.SCHED_IDLE
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own")
def test_where_its_policy_is_forbidden_a_low_priority_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    with ThreadPoolExecutor(1, initializer=run_at_idle_priority) as threads:
        niceness = threads.submit(os.getpriority, os.PRIO_PROCESS, 0).result()
    assert niceness == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS


async def test_a_full_replica_refuses_and_is_not_full_for_ever(setup: Setup) -> None:
    setup.classifier._passes.queue.tokens_per_s = 1000.0
    gate = asyncio.Event()
    busy = setup.slow(gate)
    await until_async(lambda: not setup.classifier._passes._free, "the engine is busy")
    calls = [asyncio.create_task(setup.classifier.classify([f"{n} wait"] * 50, 30.0, 1.0)) for n in range(40)]
    probe = asyncio.create_task(setup.classifier.classify(["probe"], 30.0))
    await until_async(lambda: any(call.done() for call in calls), "some are refused")
    gate.set()
    answers = await asyncio.gather(*calls)
    refused = [answer for answer in answers if answer.busy_s]
    assert 0 < len(refused) < len(calls)
    assert all(answer.busy_s > 1 and not any(answer.scores) for answer in refused)
    assert None not in (await probe).scores
    await busy
    assert None not in (await setup.classifier.classify(["room again"], 30.0, 1.0)).scores


async def test_refused_work_counts_as_work_to_be_done(setup: Setup) -> None:
    classifier = setup.classifier
    classifier.record_autoscaling_stats()
    await classifier.exchange("ingress", [], 10_000_000)
    assert classifier.record_autoscaling_stats()[LOAD] > 10
    for _ in range(3):
        await classifier.classify(["quick"], 30.0)
    assert classifier.record_autoscaling_stats()[LOAD] < 1.5


async def test_lists_count_as_load_only_as_far_as_more_classifiers_would_help_them(setup: Setup) -> None:
    queue = setup.classifier._passes.queue
    queue.tokens_per_s = 10_000.0  # 300,000 within the time-out, and 512 a pass
    setup.classifier.record_autoscaling_stats()
    with queue.track(Request([None], 900_000)):
        assert setup.classifier.record_autoscaling_stats()[LOAD] == pytest.approx(0.512 + 1)
        with queue.track(Request([None], 700_000)):
            assert setup.classifier.record_autoscaling_stats()[LOAD] == pytest.approx(2 * 0.512 + 2)
            with queue.track(Request([None], 30_000)):
                assert setup.classifier.record_autoscaling_stats()[LOAD] == pytest.approx(3 * 0.512 + 2.1)


@pytest.mark.slow
@pytest.mark.parametrize("texts", [[], [""], ["\u0000"], ["word " * 5000], ["a"] * 1000, ["😀" * 2000, ""]])
async def test_any_list_of_texts_has_an_answer_for_each(setup: Setup, texts: list[str]) -> None:
    answer = await setup.classifier.classify(texts, 30.0)
    assert len(answer.scores) == len(answer.truncated) == len(texts)
    assert None not in answer.scores


async def test_a_caller_that_hangs_up_leaves_little_to_tokenize(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    encode = setup.classifier._tokenizer.encode

    def count_and_encode(texts: list[str]) -> Any:
        read.append(len(texts))
        return encode(texts)

    monkeypatch.setattr(setup.classifier._tokenizer, "encode", count_and_encode)
    call = asyncio.create_task(setup.classifier.classify(["ab" * 50 + " "] * 10_000, 30.0))
    await until_async(lambda: read, "it began")
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await setup.classifier.classify(["next"], 30.0)
    assert sum(read) <= 4 * setup.module.SLICE_TEXTS


@pytest.mark.parametrize(
    ("lengths", "parts"),
    [
        ([], []),
        ([1] * 20, [16, 4]),
        ([2000] * 4, [3, 1]),
        ([1999, 1, 2000, 2000, 1], [4, 1]),
        ([9000, 9000, 1], [1, 1, 1]),
        ([10, 9000, 10, 10], [1, 1, 2]),
        ([5999, 1, 1], [2, 1]),
    ],
)
def test_slices_are_bounded_in_texts_and_in_bytes(lengths: list[int], parts: list[int]) -> None:
    texts = [chr(ord("a") + index) * length for index, length in enumerate(lengths)]
    slices = slice_texts(texts)
    assert [len(part) for part in slices] == parts
    assert slice_texts(["é" * 3000, "a"]) == [["é" * 3000], ["a"]]
    assert [text for part in slices for text in part] == texts


async def test_small_texts_are_tokenized_while_a_large_one_is(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, loop, begun, gate = setup.classifier._tokenizer.encode, asyncio.get_running_loop(), [], asyncio.Event()

    def wait_and_encode(texts: list[str]) -> Any:
        if "large" in texts[0]:
            begun.append(texts)
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        return encode(texts)

    monkeypatch.setattr(setup.classifier._tokenizer, "encode", wait_and_encode)
    # in slices each of which would be small
    large = asyncio.create_task(setup.classifier.classify(["large " * 300] * 10, 30.0))
    await until_async(lambda: begun, "the large one is being tokenized")
    small = (setup.classifier.classify(["small " * 25], 30.0) for _ in range(16))
    assert all(None not in answer.scores for answer in await asyncio.gather(*small))
    assert not large.done()
    gate.set()
    assert None not in (await large).scores
