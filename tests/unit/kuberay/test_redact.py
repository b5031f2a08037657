"""Credentials are replaced, and what only looks like one to a careless eye is kept."""

from __future__ import annotations

import base64

import pytest

from kuberay.redact import redact_object, redact_text


@pytest.mark.parametrize(
    "line",
    [
        "redis://:SECRETVALUE@redis-service:6379/0 refused",
        "redis://user:SECRETVALUE@redis-service:6379/0",
        "Authorization: Bearer SECRETVALUE",
        "password=SECRETVALUE",
        "REDIS_PASSWORD: SECRETVALUE",
        '{"token": "SECRETVALUE"}',
        "{'api_key': 'SECRETVALUE'}",
        "AWS_SECRET_ACCESS_KEY=SECRETVALUE",
        "redis-server --requirepass SECRETVALUE --port 6379",
        "login --password SECRETVALUE",
    ],
)
def test_a_credential_is_replaced(line: str) -> None:
    shown = redact_text(line)
    assert "SECRETVALUE" not in shown
    assert "REDACTED" in shown


@pytest.mark.parametrize(
    "line",
    [
        "SENTIMENT_MAX_TOKENS=512",
        "max_tokens: 512, batch tokens 1024",
        "tokenizer: loaded model/mini",
        'secret "redis-password" not found',
        "couldn't find key password in Secret dev/redis-password",
        "GET http://10.0.0.7:8000/project/health 200",
        "0/3 nodes are available: 3 Insufficient cpu.",
    ],
)
def test_the_rest_is_kept(line: str) -> None:
    assert redact_text(line) == line


def test_a_secret_stays_a_valid_secret_without_its_values() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "a",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "SECRETVALUE", "team": "b"},
        },
        "data": {"x": base64.b64encode(b"SECRETVALUE").decode()},
        "stringData": {"y": "SECRETVALUE"},
    }
    shown = redact_object(secret)
    assert "SECRETVALUE" not in str(shown)
    assert "U0VDUkVUVkFMVUU" not in str(shown)
    assert base64.b64decode(shown["data"]["x"], validate=True) == b"REDACTED"
    assert shown["metadata"]["annotations"]["team"] == "b"
    assert "SECRETVALUE" in str(secret)
    assert redact_object({"kind": "ConfigMap", "data": {"a": "b"}}) == {"kind": "ConfigMap", "data": {"a": "b"}}
