"""What Serve's handle may end in, and what the caller is told then."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException

from serve_app.errors import ModelUnavailable, TooBusy
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission
from serve_app.predict.health import HealthMonitor
from serve_app.predict.model_client import RemoteModel
from serve_app.settings import Settings
from tests.support.fakes import IDENTITY, FakeModel, answer, fake_scores
from tests.support.wait import until_async

SETTINGS = Settings(model_timeout_s=5.0, batch_tokens=128)
QUICK = Settings(health_probe_s=0.02, health_max_age_s=0.1)
RPC_CANCELLED = AioRpcError(StatusCode.CANCELLED, Metadata(), Metadata())


class Response:
    """A handle's response that ends as told, or never."""

    def __init__(self, end: object) -> None:
        self._end = end
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, Any]:
        if self._end is None:
            yield from asyncio.Event().wait().__await__()
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Its calls end in turn as told."""

    def __init__(self, *ends: object) -> None:
        self._ends = list(ends)
        self.classify = self.exchange = self
        self.responses: list[Response] = []
        self.timeouts: list[float] = []

    def remote(self, texts: list[str], timeout_s: float, max_wait_s: float) -> Response:  # noqa: ARG002
        self.timeouts.append(timeout_s)
        self.responses.append(Response(self._ends.pop(0)))
        return self.responses[-1]


def model(*ends: object) -> RemoteModel:
    return RemoteModel(Handle(*ends), SETTINGS, Metrics(), IDENTITY)  # type: ignore[arg-type]


def back_pressure() -> BackPressureError:
    return BackPressureError(num_queued_requests=10, max_queued_requests=10)


async def test_ray_51145_back_pressure_is_429_and_never_500() -> None:
    with pytest.raises(TooBusy) as refused:
        await model(back_pressure()).classify(["a"])
    assert refused.value.status == 429
    assert int(refused.value.headers["Retry-After"]) >= 1


async def test_a_refusal_of_a_replica_is_no_success() -> None:
    refused = answer(None, busy_s=3.2)
    asked = model(refused)
    assert await asked.classify(["a"]) is refused
    assert asked.last_success is None


@pytest.mark.parametrize("error", [DeploymentUnavailableError, ActorDiedError])
async def test_no_replica_is_503(error: Any) -> None:
    failure = error() if error is ActorDiedError else error("classifier")
    with pytest.raises(ModelUnavailable):
        await model(*[failure] * 3).classify(["a"])


@pytest.mark.parametrize("end", [ActorDiedError(), RPC_CANCELLED, asyncio.CancelledError()], ids=repr)
async def test_a_call_whose_replica_dies_or_ends_is_tried_on_another(end: BaseException) -> None:
    scores = await FakeModel().classify(["a"])
    assert await model(end, scores).classify(["a"]) is scores
    with pytest.raises(ModelUnavailable):
        await model(*[end] * 3).classify(["a"])


MODEL_ERRORS = [ArithmeticError("a text"), MemoryError()]
"""As they arrive over gRPC, not wrapped in an error of Ray's."""


@pytest.mark.parametrize("error", MODEL_ERRORS, ids=repr)
async def test_an_error_of_the_model_is_503_and_its_words_are_not_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ModelUnavailable) as failed:
        await model(error).classify(["a"])
    assert failed.value.headers["Retry-After"] == "1"
    assert type(error).__name__ in caplog.text
    assert "a text" not in caplog.text


@pytest.mark.parametrize("error", MODEL_ERRORS, ids=repr)
async def test_an_error_of_the_model_ends_neither_the_probe_nor_the_exchange(error: Exception) -> None:
    asked = model(error, answer((0.5, 0.5)))
    await asyncio.wait_for(HealthMonitor(asked, QUICK, Metrics()).first_answer(lambda: True), 5)
    assert asked.last_success is not None
    admission = Admission(QUICK, Metrics())
    exchange = asyncio.create_task(admission.exchange_forever(model(error, ([], 3), None).exchange))
    await until_async(lambda: admission.reservations.replicas == 3, "it exchanged again")
    exchange.cancel()
    await asyncio.gather(exchange, return_exceptions=True)


async def test_a_caller_that_is_cancelled_cancels_the_call() -> None:
    handle = Handle(None)
    call = asyncio.create_task(RemoteModel(handle, SETTINGS, Metrics(), IDENTITY).classify(["a"]))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert handle.responses[0].cancelled


async def test_an_error_of_the_replica_is_503_without_its_words() -> None:
    with pytest.raises(ModelUnavailable) as failed:
        await model(RayServeException("a text")).classify(["a"])
    assert "text" not in str(failed.value)
    assert failed.value.__cause__ is None


@pytest.mark.parametrize(("asked", "sent"), [(None, 4.75), (0.0, 0.0), (2.0, 1.9), (60.0, 4.75)])
async def test_the_replica_is_sent_the_callers_time_less_that_of_the_way_back(asked: float | None, sent: float) -> None:
    handle = Handle(await FakeModel().classify(["a"]))
    await RemoteModel(handle, SETTINGS, Metrics(), IDENTITY).classify(["a"], asked)  # type: ignore[arg-type]
    assert handle.timeouts == [pytest.approx(sent, abs=0.01)]


class SharingHandle:
    """Counts the calls of each method, and answers them."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    def __getattr__(self, method: str) -> Any:
        async def called(sent: Sequence[Any], *_: float) -> Any:
            self.methods.append(method)
            if method == "classify":
                return answer(*map(fake_scores, sent))
            return [None if "failed" in texts else answer(*map(fake_scores, texts)) for texts in sent]

        return SimpleNamespace(remote=lambda *arguments: asyncio.ensure_future(called(*arguments)))


async def test_small_requests_without_a_deadline_share_a_call_of_a_busy_model() -> None:
    handle = SharingHandle()
    shared = RemoteModel(handle, SETTINGS, Metrics(), IDENTITY)  # type: ignore[arg-type]
    texts = [[f"text {number}"] for number in range(3)]
    answers = await asyncio.gather(*(shared.classify(each, None, 2.0, 1.0) for each in texts))
    assert [found.scores for found in answers] == [(fake_scores(text),) for (text,) in texts]
    assert handle.methods == ["classify_all"]
    with pytest.raises(ModelUnavailable):
        await shared.classify(["failed"], None, 2.0, 1.0)


async def test_requests_with_a_deadline_large_ones_and_those_of_an_idle_model_have_calls_of_their_own() -> None:
    handle = SharingHandle()
    model = RemoteModel(handle, SETTINGS, Metrics(), IDENTITY)  # type: ignore[arg-type]
    many = ["!" * 31] * 4  # 4 bytes more than the tokens of a pass, with those that begin and end a text
    long = ["!" * 127]
    await asyncio.gather(
        *(model.classify(["idle"], None, 2.0, 0.0) for _ in range(2)),
        *(model.classify(["soon"], 1.0, 2.0, 1.0) for _ in range(2)),
        *(model.classify(large, None, 2.0, 1.0) for large in (many, many, long, long)),
    )
    assert handle.methods == ["classify"] * 8


async def test_a_second_attempt_has_the_time_that_the_first_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Handle(ActorDiedError(), answer((0.5, 0.5)))
    times = iter([100.0, 100.0, 103.0, 103.5])
    monkeypatch.setattr("serve_app.predict.model_client.time", SimpleNamespace(monotonic=lambda: next(times)))
    await RemoteModel(handle, SETTINGS, Metrics(), IDENTITY).classify(["a"])  # type: ignore[arg-type]
    assert handle.timeouts == [4.75, pytest.approx(1.9)]
