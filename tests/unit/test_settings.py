from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from ray.serve._private.config import ReplicaConfig

from serve_app.app import build_app
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
    for empty in ("", " ", "\n"):
        monkeypatch.setenv("REDIS_URL", empty)
        assert Settings().redis_url is None


def connection(monkeypatch: pytest.MonkeyPatch, arguments: Any = None, **variables: str) -> Any:
    """What the cache would connect to."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings.model_validate(arguments or {}).redis_connection()


def test_sentiment_redis_url_is_read_and_wins_over_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection(monkeypatch, SENTIMENT_REDIS_URL="redis://ours").host == "ours"
    assert connection(monkeypatch, REDIS_URL="redis://theirs").host == "ours"
    assert connection(monkeypatch, {"redis_url": "redis://argument"}).host == "argument"


@pytest.mark.parametrize("name", ["redis_url", "Redis_Url", "sentiment_redis_url"])
def test_a_variables_case_does_not_matter(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert connection(monkeypatch, **{name: "redis://cache"}).host == "cache"


@pytest.mark.parametrize("name", ["SENTIMENT_REDIS_PORT", "SENTIMENT_REDIS_HOST", "SENTIMENT_REDIS_DB"])
def test_a_variable_of_redis_that_is_none_of_ours_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7000")
    with pytest.raises(ValidationError) as caught:
        Settings()
    (line,) = explain(caught.value)
    assert line.startswith(f"{name} is not a setting")


def test_variables_that_kubernetes_sets_for_a_service_of_that_name_are_no_misspelt_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for service in ("SENTIMENT", "SENTIMENT_REDIS"):
        monkeypatch.setenv(f"{service}_SERVICE_HOST", "10.0.0.1")
        monkeypatch.setenv(f"{service}_SERVICE_PORT", "6379")
        monkeypatch.setenv(f"{service}_SERVICE_PORT_REDIS", "6379")
        monkeypatch.setenv(f"{service}_PORT", "tcp://10.0.0.1:6379")
        monkeypatch.setenv(f"{service}_PORT_6379_TCP", "tcp://10.0.0.1:6379")
        monkeypatch.setenv(f"{service}_PORT_6379_TCP_PROTO", "tcp")
    assert Settings().redis_url is None


def test_credentials_of_the_settings_win_over_the_urls_and_those_over_redis_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert connection(monkeypatch, REDIS_URL="cache", REDIS_PASSWORD="last/").password == b"last/"  # noqa: S106
    with_url = connection(monkeypatch, REDIS_URL="redis://ann:in%2Furl@cache")
    assert (with_url.username, with_url.password) == (b"ann", b"in/url")
    ours = connection(monkeypatch, SENTIMENT_REDIS_PASSWORD="first @#?%/\n")  # noqa: S106
    assert (ours.username, ours.password) == (b"ann", b"first @#?%/\n")
    assert connection(monkeypatch, SENTIMENT_REDIS_USERNAME="bob").username == b"bob"
    assert connection(monkeypatch, SENTIMENT_REDIS_PASSWORD="").password == b"in/url"


def test_a_key_for_values_that_is_empty_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_REDIS_VALUE_KEY", "")
    assert Settings().redis_value_key is None


def test_rays_own_redis_password_is_not_sent_to_another_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    rays = {"REDIS_PASSWORD": "rays", "RAY_REDIS_ADDRESS": "gcs:6379"}
    assert connection(monkeypatch, REDIS_URL="cache", **rays).password == b""


def test_redis_port_counts_where_the_url_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection(monkeypatch, REDIS_URL="cache", REDIS_PORT="7000").port == 7000
    assert connection(monkeypatch, REDIS_URL="cache:8000").port == 8000
    assert connection(monkeypatch, REDIS_URL="cache", REDIS_PORT="tcp://10.0.0.1:7000").port == 6379, "a service link"
    assert connection(monkeypatch, {"redis_fallback_port": 7000}).port == 7000


def test_a_redis_port_that_is_none_refuses_to_start_only_if_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection(monkeypatch, REDIS_URL="cache:8000", REDIS_PORT="abc").port == 8000
    with pytest.raises(ValidationError) as caught:
        connection(monkeypatch, REDIS_URL="cache")
    assert explain(caught.value) == ["REDIS_PORT must have a port from 1 to 65535"]


def test_a_password_that_is_no_utf_8_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"REDIS_URL": "cache", "SENTIMENT_REDIS_PASSWORD": os.fsdecode(b"p\xe4ss")}
    assert connection(monkeypatch, **variables).password == b"p\xe4ss"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"max_texts": 0}, "max_texts: Input should be greater than or equal to 1"),
        ({"max_body_bytes": "much"}, "max_body_bytes: Input should be a valid integer"),
        ({"batch_tokens": 32}, "batch_tokens: Input should be greater than or equal to 64"),
        ({"precision": "int3"}, "precision: Input should be 'auto', 'int8', 'bf16' or 'fp32'"),
        ({"redis_url": "http://cache"}, "REDIS_URL must start with redis://"),
        ({"redis_timeout_ms": 5000}, "redis_timeout_ms: Input should be less than or equal to 1000"),
        ({"redis_value_key": "too short"}, "redis_value_key: Value error, Input should have at least 16 characters"),
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


def test_pickled_settings_hold_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "REDIS_URL": "redis://ann:hush-in-url@cache:6379/0",
        "SENTIMENT_REDIS_USERNAME": "hush-user",
        "SENTIMENT_REDIS_PASSWORD": "hush-password",
        "SENTIMENT_REDIS_VALUE_KEY": "hush-key-of-values",
        "REDIS_PASSWORD": "hush-fallback",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings.model_validate({"max_texts": 7, "cache_ttl_s": 5})
    assert deployed(settings).count(b"max_texts") == 2, "ingress and classifier"
    assert b"hush" not in deployed(settings)
    pickled = pickle.dumps(settings)
    assert unpickled(pickled) == settings
    monkeypatch.setenv("SENTIMENT_REDIS_PASSWORD", "a new one")
    again = unpickled(pickled)
    assert again.redis_password == SecretStr("a new one")
    assert again.max_texts == 7


def test_a_secret_that_is_an_argument_reaches_the_replicas() -> None:
    settings = Settings.model_validate({"redis_url": "redis://:hush@cache", "redis_value_key": "hush-key-of-values"})
    assert unpickled(pickle.dumps(settings)) == settings


def unpickled(ours: bytes) -> Settings:
    settings = pickle.loads(ours)  # noqa: S301  (what the test has pickled)
    assert isinstance(settings, Settings)
    return settings


def deployed(settings: Settings) -> bytes:
    """What Serve keeps in its state of the arguments that replicas are made with."""
    ingress: Any = build_app(settings)._bound_deployment
    ours, classifier = ingress.init_args
    both: list[Any] = [(ours,), classifier._bound_deployment.init_args]
    configs = [ReplicaConfig.create(Settings, init_args=each) for each in both]
    return b"".join(config.serialized_init_args for config in configs)
