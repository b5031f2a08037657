"""Every setting of the service, in one typed class."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio.connection import AbstractConnection

from serve_app.redis_address import check_redis_connection, redis_connection

PREFIX = "SENTIMENT_"
MIN_VALUE_KEY = 16
"""Minimum characters of `redis_value_key`: a shorter one could be found by trying."""
MINI_MODEL = Path(__file__).resolve().parent.parent / "model" / "mini"


class Settings(BaseSettings):
    """Settings by environment variable (`SENTIMENT_<NAME>`, and Redis' usual ones) or by app argument (`<name>`).

    An app argument wins over the environment. With a value out of range, an unknown argument or an unknown
    `SENTIMENT_` variable the service does not start; the error names the setting and its allowed range, never the
    value, which may be a secret.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=()
    )

    model_dir: Annotated[Path, Field(description="Model directory to serve.")] = MINI_MODEL
    precision: Annotated[
        Literal["auto", "int8", "bf16", "fp32"],
        Field(description="Precision of the engine; auto: bf16 on CPUs with AMX, otherwise int8 if fast, or fp32."),
    ] = "auto"
    max_tokens: Annotated[
        int | None,
        Field(ge=8, le=8192, description="Tokens at which a text is truncated; none: the model's limit, mostly 512."),
    ] = None
    batch_tokens: Annotated[
        int,
        Field(ge=64, le=65536, description="Max tokens that the model runs in one pass."),
    ] = 256
    model_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="A request waits this long for the model, then gets 503.")
    ] = 30.0
    max_wait_s: Annotated[
        float, Field(ge=0.01, le=60, description="Uncached texts get 429 if they would wait longer for the model.")
    ] = 2.0

    max_texts: Annotated[int, Field(ge=1, le=100_000, description="Max texts in one request.")] = 1000
    max_text_chars: Annotated[int, Field(ge=1, le=10_000_000, description="Max characters in one text.")] = 100_000
    max_body_bytes: Annotated[int, Field(ge=64, le=64 << 20, description="Max bytes in a request's body.")] = 1 << 20
    body_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="A body that is not complete within this time gets 408.")
    ] = 30.0

    api_keys_file: Annotated[
        Path | None,
        Field(description="File of API keys, one per line, reloaded when it changes; none: no key is needed."),
    ] = None
    api_keys_exempt: Annotated[
        str,
        Field(
            pattern=r"^(none|(health|docs)(,(health|docs))?)$",
            description="What needs no key: health, docs, both with a comma between, or none.",
        ),
    ] = "health,docs"
    cors_origins: Annotated[
        str | None,
        Field(
            pattern=r"^(\*|https?://[[:ascii:]&&[^\s,*/]]+(,https?://[[:ascii:]&&[^\s,*/]]+)*)$",
            description="Origins whose pages may send requests, as https://a.example,https://b.example; none: its own.",
        ),
    ] = None
    cors_headers: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+(,[A-Za-z0-9!#$%&'*+.^_`|~-]+)*$",
            description="More headers that such pages may send, as X-Tenant,X-B3-TraceId; W3C's for tracing may.",
        ),
    ] = None

    cache_headers: Annotated[
        bool, Field(description="Whether answers have X-Cache and Server-Timing, which reveal what was cached.")
    ] = True
    cache_per_key: Annotated[
        bool, Field(description="Whether each API key has its own cache; otherwise all callers share one.")
    ] = False
    allowed_hosts: Annotated[
        str | None,
        Field(
            pattern=r"^(\*|[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*)$",
            description="Hosts that requests on loopback may name, as a.example,b.example; none: localhost; *: any.",
        ),
    ] = None

    redis_url: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices(f"{PREFIX}REDIS_URL", "redis_url", "REDIS_URL"),
            description="Redis that all replicas share: redis://, rediss://, unix:// or a host; none: in-process only.",
        ),
    ] = None
    redis_username: Annotated[
        SecretStr | None, Field(description="User of Redis, not encoded; none: the URL's, if it has one.")
    ] = None
    redis_password: Annotated[
        SecretStr | None, Field(description="Password of Redis, not encoded; none: the URL's, if it has one.")
    ] = None
    redis_value_key: Annotated[
        SecretStr | None,
        Field(description="Key of the hash on each value in Redis; a value without the hash is a miss; none: no hash."),
    ] = None
    redis_fallback_port: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("redis_fallback_port", "REDIS_PORT"),
            coerce_numbers_to_str=True,
            description="Port if the URL has none; none, or a Kubernetes service link: 6379.",
        ),
    ] = None
    redis_fallback_password: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices("redis_fallback_password", "REDIS_PASSWORD"),
            description="Password if neither of the above has one; ignored, as Ray's own, beside RAY_REDIS_ADDRESS.",
        ),
    ] = None
    redis_timeout_ms: Annotated[int, Field(ge=1, le=1000, description="A read waits at most this long for Redis.")] = 50
    redis_probe_s: Annotated[float, Field(gt=0, le=60, description="How often a Redis that failed is probed.")] = 1.0
    redis_max_failures: Annotated[
        int, Field(ge=1, le=100, description="Failures in a row after which Redis is not used.")
    ] = 3
    cache_entries: Annotated[
        int, Field(ge=0, le=100_000_000, description="Texts kept in each ingress replica's memory; 0 keeps none.")
    ] = 100_000
    cache_ttl_s: Annotated[int, Field(ge=1, le=366 * 86400, description="How long Redis keeps an answer.")] = 86400
    cache_ttl_jitter: Annotated[
        float, Field(ge=0, le=1, description="Random share of that time, so that few answers expire together.")
    ] = 0.1

    health_max_age_s: Annotated[
        float, Field(gt=0, le=600, description="Healthy means: a prediction succeeded within this time.")
    ] = 10.0
    health_probe_s: Annotated[
        float, Field(gt=0, le=60, description="Without traffic, the model is probed with a text this often.")
    ] = 2.0
    start_healthy: Annotated[
        bool, Field(description="Whether a new version's ingress replicas start only once the model has answered.")
    ] = False
    before_serve: Annotated[
        bool, Field(description="Whether predict requests bypass Serve's request handling, which is slower.")
    ] = True
    drain_file: Annotated[
        Path | None, Field(description="While this file exists, health is 503 and all other routes answer.")
    ] = None

    @field_validator("drain_file", mode="before")
    @classmethod
    def _empty_is_no_drain_file(cls, value: object) -> object:
        return None if value == "" else value  # Path("") is the working directory, which always exists

    @field_validator("redis_url")
    @classmethod
    def _empty_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None or not value.get_secret_value().strip() else value

    @field_validator("redis_value_key")
    @classmethod
    def _long_or_none(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if len(value) < MIN_VALUE_KEY:
            raise ValueError(f"Input should have at least {MIN_VALUE_KEY} characters")
        return value

    @field_validator("redis_fallback_password")
    @classmethod
    def _not_rays(cls, value: SecretStr | None) -> SecretStr | None:
        return None if "RAY_REDIS_ADDRESS" in os.environ else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.health_probe_s >= self.health_max_age_s:
            raise ValueError("health_probe_s must be shorter than health_max_age_s")
        if self.cache_per_key and self.api_keys_file is None:
            raise ValueError("cache_per_key needs api_keys_file")
        if self.redis_url is not None:
            check_redis_connection(self.redis_connection())
        known = {name for field in type(self).model_fields for name in variables(field)}
        for name, value in os.environ.items():
            if name.upper().startswith(PREFIX) and name.upper() not in known and not _service_link(name, value):
                near = difflib.get_close_matches(name.upper(), known, n=1)
                raise ValueError(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
        return self

    def __reduce__(self) -> tuple[Callable[[dict[str, object]], Settings], tuple[dict[str, object]]]:
        """Pickle without the secrets of the environment, since Serve stores the arguments of replicas in its state.

        Unpickling reads them from the environment again, which is the same in a replica. A secret that came as an
        argument is in Serve's configuration already.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        secret = {name: value for name, value in values.items() if isinstance(value, SecretStr)}
        plain = {name: value for name, value in values.items() if name not in secret}
        reread = type(self).model_validate(plain)
        given = {name: value for name, value in secret.items() if getattr(reread, name) != value}
        return type(self).model_validate, ({**plain, **given},)

    def redis_connection(self) -> AbstractConnection:
        """A new connection to the Redis of these settings, not opened yet."""
        if self.redis_url is None:
            raise ValueError("there is no redis_url")
        secrets = (self.redis_username, self.redis_password, self.redis_fallback_password)
        username, password, fallback = ("" if each is None else each.get_secret_value() for each in secrets)
        url = self.redis_url.get_secret_value()
        return redis_connection(url, username, password, self.redis_fallback_port or "", fallback)


def variables(field: str) -> list[str]:
    """The environment variables of a setting, by rising precedence."""
    alias = Settings.model_fields[field].validation_alias
    if not isinstance(alias, AliasChoices):
        return [f"{PREFIX}{field}".upper()]
    return [name for name in reversed(alias.choices) if isinstance(name, str) and name.isupper()]


def _service_link(name: str, value: str) -> bool:
    """Whether Kubernetes has set the variable, for a Service called sentiment or sentiment-redis."""
    return "_SERVICE_" in name or (re.search(r"_PORT(_|$)", name) is not None and ("://" in value or "_TCP" in name))


def explain(error: ValidationError) -> list[str]:
    """A line for each fault of the settings: the setting's name and its allowed values."""
    lines = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(str(part) for part in fault["loc"])
        lines.append(f"{name}: {fault['msg']}" if name else fault["msg"].removeprefix("Value error, "))
    return lines
