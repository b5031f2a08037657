"""The lean server of `make bench` answers as this service does, refuses the same bodies, and stays small."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from benchmarks.lean import server
from benchmarks.lean.server import Model
from benchmarks.texts import COURSE_POOL
from serve_app.local.ports import free_port
from serve_app.settings import MINI_MODEL
from tests.support.bad_bodies import BAD_BODIES
from tests.support.golden import golden, new_texts
from tests.support.service import REPOSITORY
from tests.support.wait import until

FITS = {"one text too many", "one character too many"}
"""Bodies that are bad under smaller limits than the lean server's."""


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    port = free_port()
    log = tmp_path_factory.mktemp("lean") / "lean.log"
    command = [sys.executable, server.__file__, str(MINI_MODEL), "fp32", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=output, stderr=output
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return client.get("/project/health").is_success
            except httpx.TransportError:
                return False

        until(answers, "the lean server answers", 120)
        yield client
    process.terminate()
    process.wait(30)


def predict(client: httpx.Client, *texts: str) -> httpx.Response:
    return client.post("/project/predict", json={"text": texts})


def test_it_gives_the_models_scores_new_and_cached(lean: httpx.Client) -> None:
    texts = [*COURSE_POOL, "", "word " * 600, *new_texts(300, seed=11), COURSE_POOL[0]]
    wanted = golden(MINI_MODEL, texts)
    for _ in range(2):
        assert wanted.agrees(texts, predict(lean, *texts).json())
    assert predict(lean).json() == {"predictions": []}


async def test_requests_that_come_together_get_their_own_answers(lean: httpx.Client) -> None:
    texts = new_texts(60, seed=12)
    wanted = golden(MINI_MODEL, texts)
    async with httpx.AsyncClient(base_url=lean.base_url, timeout=60) as client:
        asked = [texts[start : start + 3] for start in range(58)]  # each text in three requests
        replies = await asyncio.gather(*(client.post("/project/predict", json={"text": each}) for each in asked))
    assert all(wanted.agrees(each, reply.json()) for each, reply in zip(asked, replies, strict=True))


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BAD_BODIES if name not in FITS])
def test_a_bad_body_is_refused(lean: httpx.Client, body: bytes) -> None:
    assert lean.post("/project/predict", content=body).status_code == 422


def test_the_limits_are_kept(lean: httpx.Client) -> None:
    assert predict(lean, *["a"] * server.MAX_TEXTS).status_code == 200
    assert predict(lean, *["a"] * (server.MAX_TEXTS + 1)).status_code == 422
    assert predict(lean, "a" * server.MAX_CHARS).status_code == 200
    assert predict(lean, "a" * (server.MAX_CHARS + 1)).status_code == 422
    assert lean.post("/project/predict", content=b" " * (server.MAX_BODY + 1)).status_code == 413


def test_other_paths_and_methods_are_refused(lean: httpx.Client) -> None:
    assert lean.get("/project/predict").status_code == 405
    assert lean.post("/predict", json={"text": []}).status_code == 404


async def test_the_cache_keeps_the_texts_asked_for_last() -> None:
    model = Model(MINI_MODEL, "fp32", entries=2)
    for texts in (["a", "b"], ["a"], ["c"]):
        assert await model.answer(texts)
    assert list(model._cache) == ["a", "c"]
    many = await model.answer([f"text {number}" for number in range(9)])
    assert many is not None
    assert len(set(many)) == 9, "more than the cache holds are answered"
    assert len(model._cache) == 2
    assert not model._pending, "nothing is left of what was answered"


async def test_too_much_that_waits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(MINI_MODEL, "fp32", entries=10)
    monkeypatch.setattr(server, "MAX_WAITING", 20)
    running = asyncio.create_task(model.answer(new_texts(100, seed=13)))
    await asyncio.sleep(0)  # it begins
    assert await model.answer(["one more"]) is None
    assert len(await running or []) == 100
    assert await model.answer(["one more"]), "afterwards there is room again"


async def test_a_failed_pass_fails_those_who_waited_for_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(MINI_MODEL, "fp32", entries=10)
    with monkeypatch.context() as broken:
        broken.setattr(model._engine, "score", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await model.answer(["a"])
    assert await model.answer(["a"])
