"""Renders errors as replies, and for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from serve_app.errors import (
    BodyTooLarge,
    BodyTooSlow,
    CrossSite,
    ForeignHost,
    InvalidRequest,
    MethodNotAllowed,
    ModelUnavailable,
    ServiceError,
    TooBusy,
    UnsupportedMediaType,
)
from serve_app.web.reply import Reply

PREDICT_ERRORS = (
    CrossSite,
    MethodNotAllowed,
    BodyTooSlow,
    BodyTooLarge,
    UnsupportedMediaType,
    ForeignHost,
    InvalidRequest,
    TooBusy,
    ServiceError,
    ModelUnavailable,
)
"""The errors of the predict routes."""


def error_reply(error: ServiceError) -> Reply:
    """The reply that reports the error to the caller."""
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return Reply(error.status, headers, orjson.dumps({"detail": error.detail}))


def openapi_responses(errors: Sequence[type[ServiceError]]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can end in these errors."""
    body = {
        "type": "object",
        "required": ["detail"],
        "properties": {
            "detail": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["type", "loc", "msg"],
                    "properties": {
                        "type": {"type": "string"},
                        "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                        "msg": {"type": "string"},
                    },
                },
            }
        },
    }
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        response: dict[str, Any] = {"description": error.title, "content": {"application/json": {"schema": body}}}
        if error.retry_after:
            schema = {"type": "integer", "minimum": 1}
            response["headers"] = {"Retry-After": {"description": error.retry_after, "schema": schema}}
        responses[error.status] = response
    return responses
