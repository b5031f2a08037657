"""Every setting of the service, in one typed class."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SENTIMENT_"
MINI_MODEL = Path(__file__).resolve().parent.parent / "model" / "mini"


class Settings(BaseSettings):
    """Settings by environment variable (`SENTIMENT_<NAME>`, and `REDIS_URL`) or by app argument (`<name>`).

    An app argument wins over the environment. A value out of range, an unknown argument and an unknown
    `SENTIMENT_` variable refuse to start; the error names the setting and its allowed range, never the value,
    which may be a secret.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=()
    )

    model_dir: Annotated[Path, Field(description="Model directory to serve.")] = MINI_MODEL
    precision: Annotated[
        Literal["auto", "int8", "fp32"],
        Field(description="Precision of the engine; auto is int8 where the CPU multiplies it fast, else fp32."),
    ] = "auto"
    max_tokens: Annotated[
        int | None,
        Field(ge=8, le=8192, description="Longer texts are truncated here; none: at the model's limit, mostly 512."),
    ] = None
    batch_tokens: Annotated[
        int,
        Field(ge=512, le=65536, description="Most tokens in a batch; four times that where the model is far behind."),
    ] = 1024
    model_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="A request waits this long for the model, then gets 503.")
    ] = 30.0
    max_wait_s: Annotated[
        float, Field(ge=0.01, le=60, description="New texts get 429 where the model is this far behind.")
    ] = 2.0

    max_texts: Annotated[int, Field(ge=1, le=100_000, description="Most texts in one request.")] = 1000
    max_text_chars: Annotated[int, Field(ge=1, le=10_000_000, description="Most characters in one text.")] = 100_000
    max_body_bytes: Annotated[int, Field(ge=64, le=64 << 20, description="Most bytes in a request's body.")] = 1 << 20
    body_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="A body that is not whole within this time gets 408.")
    ] = 30.0

    api_keys_file: Annotated[
        Path | None,
        Field(description="File of API keys, one a line, read again when it changes; none: no key is asked."),
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
            pattern=r"^(\*|https?://[^\s,*/]+(,https?://[^\s,*/]+)*)$",
            description="Origins whose pages may ask, as https://a.example,https://b.example; none: their own only.",
        ),
    ] = None
    cors_headers: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+(,[A-Za-z0-9!#$%&'*+.^_`|~-]+)*$",
            description="More headers that such pages may send, as X-Tenant,X-B3-TraceId; those of tracing by W3C may.",
        ),
    ] = None

    redis_url: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices("redis_url", "REDIS_URL"),
            description="Redis that all replicas share, as redis://[:password@]host:port/0; none: in-process only.",
        ),
    ] = None
    redis_timeout_ms: Annotated[
        int, Field(ge=1, le=1000, description="A request waits at most this long for Redis.")
    ] = 50
    redis_probe_s: Annotated[float, Field(gt=0, le=60, description="How often a Redis that failed is tried again.")] = (
        1.0
    )
    redis_max_failures: Annotated[
        int, Field(ge=1, le=100, description="Failures in a row until Redis is no longer asked.")
    ] = 3
    cache_entries: Annotated[
        int, Field(ge=0, le=100_000_000, description="Texts kept in each ingress replica's memory; 0 keeps none.")
    ] = 100_000
    cache_ttl_s: Annotated[int, Field(ge=1, le=366 * 86400, description="How long Redis keeps an answer.")] = 86400
    cache_ttl_jitter: Annotated[
        float, Field(ge=0, le=1, description="Share of that time drawn by chance, so that few expire together.")
    ] = 0.1

    health_max_age_s: Annotated[
        float, Field(gt=0, le=600, description="Healthy means: a prediction succeeded within this time.")
    ] = 10.0
    health_probe_s: Annotated[
        float, Field(gt=0, le=60, description="Without traffic, a text is predicted this often to know.")
    ] = 2.0
    drain_file: Annotated[
        Path | None, Field(description="While this file exists, health is 503 and everything else answers.")
    ] = None

    @field_validator("redis_url")
    @classmethod
    def _empty_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.health_probe_s >= self.health_max_age_s:
            raise ValueError("health_probe_s must be shorter than health_max_age_s")
        known = {f"{PREFIX}{name}".upper() for name in type(self).model_fields}
        for name in os.environ:
            if name.upper().startswith(PREFIX) and name.upper() not in known:
                near = difflib.get_close_matches(name.upper(), known, n=1)
                raise ValueError(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
        return self


def explain(error: ValidationError) -> list[str]:
    """One line for each thing that is wrong with the settings: its name, and what is allowed."""
    lines = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(str(part) for part in fault["loc"])
        lines.append(f"{name}: {fault['msg']}" if name else fault["msg"].removeprefix("Value error, "))
    return lines
