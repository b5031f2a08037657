"""Which calls are taken away from their replica: those of one that gives no sign of life, not those of a slow one."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError
from ray.serve._private.request_router.replica_wrapper import RunningReplica

from serve_app.app import build_app
from serve_app.predict import router as silent_replica
from serve_app.predict.router import Replica, Router
from serve_app.settings import Settings
from tests.support.wait import until_async


class Result:
    """What a call comes to, after its time; how it ended is noted."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.cancelled = False

    async def get_rejection_response(self) -> str:
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "accepted"

    async def get_async(self) -> str:
        return "the answer"


class Call:
    """A request of Serve's router."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silent_replica, "CHECK_S", 0.02)
    monkeypatch.setattr(silent_replica, "SILENT_S", 0.1)


def replica(monkeypatch: pytest.MonkeyPatch, call_s: float, sign_s: float) -> tuple[Replica, list[Result], list[float]]:
    """A replica whose calls and signs of life take so long; what was sent, and when it was asked."""
    results: list[Result] = []
    asked: list[float] = []

    def send(_: Any, pr: Call, with_rejection: bool) -> Result:  # noqa: ARG001, FBT001
        results.append(Result(call_s))
        return results[-1]

    async def queue_len(_: Any, *, deadline_s: float) -> int:  # noqa: ARG001
        asked.append(time.monotonic())
        await asyncio.sleep(sign_s)
        return 1

    monkeypatch.setattr(RunningReplica, "__init__", lambda *_: None)
    monkeypatch.setattr(RunningReplica, "try_send_request", send)
    monkeypatch.setattr(RunningReplica, "get_queue_len", queue_len)
    monkeypatch.setattr(RunningReplica, "actor_id", type("Id", (), {"binary": lambda _: bytes(16)})())
    return Replica(None), results, asked  # type: ignore[arg-type]


async def test_a_silent_replica_is_unavailable_and_its_call_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, results, _ = replica(monkeypatch, 60, 60)
    began = time.monotonic()
    with pytest.raises(ActorUnavailableError):
        await silent.try_send_request(Call(), with_rejection=True).get_rejection_response()
    assert 0.1 <= time.monotonic() - began < 1
    await asyncio.sleep(0)
    assert results[0].cancelled


async def test_a_call_is_moved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, results, _ = replica(monkeypatch, 0.3, 60)
    call = Call()
    with pytest.raises(ActorUnavailableError):
        await silent.try_send_request(call, with_rejection=True).get_rejection_response()
    assert await silent.try_send_request(call, with_rejection=True).get_rejection_response() == "accepted"
    assert len(results) == 2


async def test_a_slow_replica_that_gives_a_sign_of_life_keeps_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, results, asked = replica(monkeypatch, 0.5, 0.01)
    result = slow.try_send_request(Call(), with_rejection=True)
    assert await result.get_rejection_response() == "accepted"
    assert await result.get_async() == "the answer"
    assert len(results) == 1
    assert len(asked) > 1


async def test_a_quick_replica_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, _, asked = replica(monkeypatch, 0, 60)
    assert await quick.try_send_request(Call(), with_rejection=True).get_rejection_response() == "accepted"
    assert asked == []


async def test_an_answer_that_comes_while_it_is_asked_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    late, _, asked = replica(monkeypatch, 0.08, 60)
    assert await late.try_send_request(Call(), with_rejection=True).get_rejection_response() == "accepted"
    assert len(asked) == 1


async def test_many_calls_that_wait_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, _, asked = replica(monkeypatch, 60, 60)
    calls = [silent.try_send_request(Call(), with_rejection=True).get_rejection_response() for _ in range(50)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, ActorUnavailableError) for end in ends)
    assert len(asked) == 1


async def test_a_sign_of_life_counts_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, _, asked = replica(monkeypatch, 60, 0)
    monkeypatch.setattr(silent_replica, "CHECK_S", 60)
    assert await slow.lives()
    assert await slow.lives()
    assert len(asked) == 1
    monkeypatch.setattr(silent_replica, "CHECK_S", 0)
    assert await slow.lives()
    assert len(asked) == 2


async def test_a_caller_that_gives_up_cancels_the_call_and_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, results, asked = replica(monkeypatch, 0.3, 0.05)
    calls = [
        asyncio.create_task(slow.try_send_request(Call(), with_rejection=True).get_rejection_response())
        for _ in range(2)
    ]
    await until_async(lambda: asked, "both wait for the sign of life")
    calls[0].cancel()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(ends[0], asyncio.CancelledError)
    assert ends[1] == "accepted"
    assert [result.cancelled for result in results] == [True, False]


def test_the_classifiers_calls_go_through_this_router() -> None:
    ingress: Any = build_app(Settings())
    (classifier,) = ingress._bound_deployment.init_args[1:]
    config = classifier._bound_deployment._deployment_config.request_router_config
    assert config.get_request_router_class() is Router
