"""load.js against the running service, and against services that lie, fail or say nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from serve_app.local.ports import free_port
from tests.support.k6 import SCRIPT_FAILED, THRESHOLDS_FAILED, load
from tests.support.service import Service
from tests.support.stub_service import Answer, always, fair, pair, stub_service

EMOTIONS = {"joy": 0.4, "love, or so": 0.3, "ärger": 0.15, "sadness": 0.1, "surprise": 0.04, "fear": 0.01}
SINGLE, MULTI = "single_label_classification", "multi_label_classification"


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts a service that answers predict with `answer`, and the model's card if there is one; gives its address."""
    with ExitStack() as servers:

        def start(answer: Answer, card: Mapping[str, Any] | None = None) -> str:
            return servers.enter_context(stub_service(answer, card))

        yield start


@pytest.mark.parametrize("scenario", ["course", "novel", "hits", "spike"])
def test_it_passes_on_the_service_and_shows_where_the_time_goes(
    scenario: str, service: Service, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.json"
    done = load(service.url, SCENARIO=scenario, SUMMARY=str(summary))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every threshold holds" in done.stdout
    metrics = json.loads(summary.read_text())["metrics"]
    assert metrics["cache_hit_rate"]["values"]["rate"] > 0.3
    assert metrics["stage_cache"]["values"]["max"] >= 0
    assert metrics["checks"]["values"]["fails"] == 0


def test_the_courses_own_command_runs(service: Service) -> None:
    done = load(service.url, "--summary-trend-stats", "min,avg,med,max,p(90),p(95),p(99),p(99.99)", NAMESPACE="me")
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_asks_what_the_course_asks(serve: Callable[[Answer], str]) -> None:
    asked: list[list[str]] = []

    def note(texts: list[str]) -> tuple[int, Any]:
        asked.append(texts)
        return fair(texts)

    done = load(serve(note), CACHE_RATE="0.8", METRICS_URL=f"http://127.0.0.1:{free_port()}/metrics")
    assert done.returncode == 0, done.stdout + done.stderr
    fixed = [texts for texts in asked if len(texts) == 3]
    pool = [texts for texts in asked if len(texts) == 10]
    assert len(fixed) + len(pool) == len(asked)
    assert 0.5 < len(fixed) / len(asked) < 0.98
    assert all(texts == fixed[0] for texts in fixed)
    assert {frozenset(texts) for texts in pool} == {frozenset(pool[0])}
    assert len({tuple(texts) for texts in pool}) > 1, "each time in another order"
    assert set(fixed[0]) < set(pool[0])


def test_novel_texts_are_new_each_time(serve: Callable[[Answer], str]) -> None:
    asked: list[str] = []

    def note(texts: list[str]) -> tuple[int, Any]:
        asked.extend(texts)
        return fair(texts)

    load(serve(note), SCENARIO="novel", CACHE_RATE="0", DURATION="2s")
    new = asked[10:]  # after the texts that come again, asked once at the start
    assert len(new) > 20
    assert len(set(new)) == len(new)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("wrong labels", lambda texts: (200, {"predictions": [pair("NEGATIVE") for _ in texts]})),
        ("no predictions", lambda _: (200, {"predictions": []})),
        (
            "scores that do not add up",
            lambda texts: (200, {"predictions": [pair("POSITIVE", 0.8)[:1] * 2 for _ in texts]}),
        ),
        ("an empty object", lambda _: (200, {})),
        ("status 500", lambda _: (500, {"detail": []})),
    ],
)
def test_it_fails_on(name: str, answer: Answer, serve: Callable[[Answer], str]) -> None:
    done = load(serve(answer))
    assert done.returncode == THRESHOLDS_FAILED, name
    assert "FAILED" in done.stdout


def test_it_fails_where_the_same_text_gets_two_answers(serve: Callable[[Answer], str]) -> None:
    turn = iter(range(10**9))

    def fickle(texts: list[str]) -> tuple[int, Any]:
        score = 0.75 + (next(turn) % 2) / 10
        return 200, {"predictions": [pair("NEGATIVE" if "worst" in text else "POSITIVE", score) for text in texts]}

    assert load(serve(fickle)).returncode == THRESHOLDS_FAILED


def test_it_fails_where_users_get_answers_that_differ(serve: Callable[[Answer], str]) -> None:
    """As of replicas with different models: each user's connection stays with one of them."""
    order: dict[int, int] = {}

    def split(texts: list[str]) -> tuple[int, Any]:
        score = 0.75 + (order.setdefault(threading.get_ident(), len(order)) % 2) / 10
        return 200, {"predictions": [pair("NEGATIVE" if "worst" in text else "POSITIVE", score) for text in texts]}

    assert load(serve(split)).returncode == THRESHOLDS_FAILED


@pytest.mark.parametrize(
    ("name", "card", "answer"),
    [
        (
            "three labels, ranked differently",
            {"labels": ["negative", "neutral", "positive"]},
            {"neutral": 0.5, "positive": 0.3, "negative": 0.2},
        ),
        ("six labels", {"labels": list(EMOTIONS), "problem_type": SINGLE}, EMOTIONS),
        ("multi-label", {"labels": ["a", "b", "c"], "problem_type": MULTI}, {"c": 0.9, "a": 0.8, "b": 0.1}),
        ("one label", {"labels": ["spam"]}, {"spam": 0.25}),
    ],
)
def test_it_takes_the_labels_that_the_model_has(
    name: str, card: dict[str, Any], answer: dict[str, float], serve: Callable[..., str]
) -> None:
    done = load(serve(always(answer), card), DURATION="2s")
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    assert "every threshold holds" in done.stdout


@pytest.mark.parametrize(
    ("name", "card", "answer"),
    [
        ("a label is missing", {"labels": ["a", "b", "c"]}, {"a": 0.6, "b": 0.4}),
        ("another label", {"labels": ["a", "b", "c"]}, {"a": 0.5, "b": 0.3, "d": 0.2}),
        ("another case", {"labels": ["a", "b"]}, {"A": 0.6, "b": 0.4}),
        ("not the highest first", {"labels": ["a", "b", "c"]}, {"a": 0.3, "b": 0.5, "c": 0.2}),
        ("a sum that is not 1", {"labels": ["a", "b", "c"], "problem_type": SINGLE}, {"a": 0.9, "b": 0.8, "c": 0.1}),
        ("a score over 1", {"labels": ["a", "b"], "problem_type": MULTI}, {"a": 1.5, "b": 0.1}),
        (
            "the wrong label for all but one text",
            {"labels": ["negative", "positive"]},
            {"negative": 0.6, "positive": 0.4},
        ),
    ],
)
def test_it_fails_where_an_answer_is_not_the_models(
    name: str, card: dict[str, Any], answer: dict[str, float], serve: Callable[..., str]
) -> None:
    assert load(serve(always(answer), card), DURATION="2s").returncode == THRESHOLDS_FAILED, name


def test_it_fails_where_a_lower_label_of_the_same_text_changes(serve: Callable[..., str]) -> None:
    turn = iter(range(10**9))

    def fickle(texts: list[str]) -> tuple[int, Any]:
        more = (next(turn) % 2) / 10
        return always({"a": 0.5, "b": 0.3 + more, "c": 0.2 - more})(texts)

    assert load(serve(fickle, {"labels": ["a", "b", "c"]})).returncode == THRESHOLDS_FAILED


def test_it_fails_where_nothing_answers() -> None:
    done = load(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == THRESHOLDS_FAILED
    assert len(done.stderr.splitlines()) < 500, "a port that refuses is not asked thousands of times"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SCENARIO", "curse", "SCENARIO is curse; there are course, novel"),
        ("DURATION", "100ms", "DURATION is 100ms; give it as 30s, 10m or 1h30m"),
        ("DURATION", "0.5s", "DURATION is 0.5s; give it as 30s, 10m or 1h30m, at least 1s"),
        ("USERS", "many", "USERS is many; give a whole number from 1"),
        ("USERS", "1.5", "USERS is 1.5; give a whole number from 1"),
        ("CACHE_RATE", "95", "CACHE_RATE is 95; give a number from 0 to 1"),
    ],
)
def test_bad_settings_are_reported(name: str, value: str, message: str) -> None:
    done = load("http://127.0.0.1:1", **{name: value})
    assert done.returncode == SCRIPT_FAILED
    assert message in done.stderr
