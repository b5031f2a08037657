from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from serve_app.settings import MINI_MODEL, Settings, explain


def test_nothing_needs_to_be_set() -> None:
    settings = Settings()
    assert settings.model_dir == MINI_MODEL
    assert settings.redis_url is None


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_MAX_TEXTS", "7")
    monkeypatch.setenv("SENTIMENT_MODEL_DIR", "/from/environment")
    settings = Settings.model_validate({"max_texts": 9})
    assert settings.max_texts == 9
    assert settings.model_dir == Path("/from/environment")


def test_redis_is_named_by_redis_url_and_an_empty_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hush@cache:6379/0")
    settings = Settings()
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:hush@cache:6379/0"
    assert "hush" not in repr(settings)
    monkeypatch.setenv("REDIS_URL", "")
    assert Settings().redis_url is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"max_texts": 0}, "max_texts: Input should be greater than or equal to 1"),
        ({"max_body_bytes": "much"}, "max_body_bytes: Input should be a valid integer"),
        ({"batch_tokens": 100}, "batch_tokens: Input should be greater than or equal to 512"),
        ({"precision": "int3"}, "precision: Input should be 'auto', 'int8' or 'fp32'"),
        ({"redis_url": "http://cache"}, "REDIS_URL must start with redis://"),
        ({"redis_timeout_ms": 5000}, "redis_timeout_ms: Input should be less than or equal to 1000"),
        ({"nonsense": 1}, "nonsense: Extra inputs are not permitted"),
        ({"health_probe_s": 20}, "health_probe_s must be shorter than health_max_age_s"),
    ],
)
def test_a_bad_value_refuses_to_start_and_says_which_and_why(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(arguments)
    (line,) = explain(caught.value)
    assert line.startswith(complaint)


def test_a_misspelt_variable_refuses_to_start_and_names_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_MAX_TEXT", "7")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert explain(caught.value) == ["SENTIMENT_MAX_TEXT is not a setting; did you mean SENTIMENT_MAX_TEXTS?"]


def test_an_error_does_not_show_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "http://:hush@cache")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "hush" not in str(caught.value)
    assert "hush" not in explain(caught.value)[0]
