"""Scoring files beside the service's cache in a real Redis."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from model.directory import open_directory
from serve_app.cache.redis_store import PREFIX
from serve_app.identity import identify
from serve_app.prediction import text_key
from serve_app.score.shared import RedisAnswers
from serve_app.settings import Settings
from tests.support.redis_server import RedisServer
from tests.support.score_runs import LengthPool, score

TEXTS = ("good", "rather bad", "fine")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in.csv").write_text("text\n" + "".join(f"{text}\n" for text in TEXTS))
    return tmp_path / "in.csv"


@pytest.fixture
def settings(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SENTIMENT_PRECISION", "fp32")
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("SENTIMENT_REDIS_TIMEOUT_MS", "1000")
    return Settings()


def run(settings: Settings, source: Path, output: Path, *, writes: bool) -> list[str]:
    """Score the source, and return the texts that were computed."""
    answers = RedisAnswers(
        settings, identify(open_directory(settings.model_dir), settings.precision, settings.max_tokens), writes=writes
    )
    pool = LengthPool()
    try:
        score(source, output, pool=pool, shared=answers)
    finally:
        answers.close()
    return pool.submitted


def test_redis_is_only_read_by_default(settings: Settings, source: Path, redis_server: RedisServer) -> None:
    assert run(settings, source, source.with_name("a.csv"), writes=False) == list(TEXTS)
    assert redis_server.names() == []


def test_written_answers_have_the_services_keys(settings: Settings, source: Path, redis_server: RedisServer) -> None:
    assert run(settings, source, source.with_name("a.csv"), writes=True) == list(TEXTS)
    fingerprint = identify(open_directory(settings.model_dir), settings.precision, settings.max_tokens).fingerprint
    names = sorted(f"{PREFIX}{fingerprint}:{text_key(text).hex()}" for text in TEXTS)
    assert redis_server.names() == names
    assert all(len(orjson.loads(redis_server.client.get(name))) == 3 for name in names)  # type: ignore[arg-type]
    with source.open("a") as file:
        file.write("new\n")
    assert run(settings, source, source.with_name("b.csv"), writes=False) == ["new"]
    before = source.with_name("a.csv").read_bytes()
    assert source.with_name("b.csv").read_bytes().startswith(before)


def test_without_redis_every_text_is_computed(settings: Settings, source: Path, redis_server: RedisServer) -> None:
    redis_server.stop()
    assert run(settings, source, source.with_name("a.csv"), writes=True) == list(TEXTS)
