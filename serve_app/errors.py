"""The error tree: each error with its status, its type and the message for the caller."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ServiceError(Exception):
    """An error that a caller sees. A subclass is a row of the table; its `title` documents it in OpenAPI.

    The body is FastAPI's: `{"detail": [{"type", "loc", "msg"}]}`. It never holds any of the caller's input:
    texts are private, and an echoed lone surrogate or NaN cannot even be encoded.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "The service failed; the request may be sent again."
    retry_after: ClassVar[str | None] = None
    """The description of the header Retry-After, for OpenAPI; None if the error has none."""

    def __init__(
        self,
        msg: str | None = None,
        *,
        loc: Sequence[str | int] = (),
        detail: Sequence[Mapping[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(msg or self.title)
        self.detail = detail or [{"type": self.type, "loc": list(loc), "msg": msg or self.title}]
        self.headers = dict(headers or {})


class Unauthorized(ServiceError):
    """The request has no valid API key."""

    status = 401
    type = "unauthorized"
    title = "This needs an API key, as Authorization: Bearer or X-API-Key."

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": "Bearer"})


class CrossSite(ServiceError):
    """A browser sent the request for a page of another origin, which the settings do not allow."""

    status = 403
    type = "cross_site"
    title = "Pages of other origins may not send requests; SENTIMENT_CORS_ORIGINS allows them."


class NotFound(ServiceError):
    """No route has this path."""

    status = 404
    type = "not_found"
    title = "There is nothing at this path."


class MethodNotAllowed(ServiceError):
    """The path exists, but not for this method."""

    status = 405
    type = "method_not_allowed"
    title = "This path does not take this method."


class BodyTooSlow(ServiceError):
    """The body was not complete in time."""

    status = 408
    type = "body_too_slow"
    title = "The body was not complete in time."


class BodyTooLarge(ServiceError):
    """The body has more bytes than the limit."""

    status = 413
    type = "body_too_large"
    title = "The body is larger than the limit."


class UnsupportedMediaType(ServiceError):
    """The body has a Content-Encoding or character set that is not supported."""

    status = 415
    type = "unsupported_media_type"
    title = "The body's Content-Encoding or character set is not supported; gzip, deflate, identity and UTF-8 are."


class ForeignHost(ServiceError):
    """The request came over loopback, but its Host is not a name of this machine."""

    status = 421
    type = "foreign_host"
    title = "The Host is not a name of this machine; SENTIMENT_ALLOWED_HOSTS allows others."


class InvalidRequest(ServiceError):
    """The body does not match the schema."""

    status = 422
    type = "invalid_request"
    title = "The body is not JSON, or does not match the schema."


class TooBusy(ServiceError):
    """More uncached texts wait for the model than it can predict in time. Texts in the cache are never refused.

    `wait_s` is sent as Retry-After, in whole seconds, at least one. `deadline`, in seconds of `time.monotonic`, and
    `max_wait_s` are the limits of the request.
    """

    status = 429
    type = "too_busy"
    title = "Too many uncached texts wait for the model, or the answer would come after the caller's deadline."
    retry_after = "Seconds after which the model will have caught up; the request then goes before newcomers."

    def __init__(self, wait_s: float = 0.0, deadline: float = math.inf, max_wait_s: float = math.inf) -> None:
        super().__init__(headers={"Retry-After": str(max(1, math.ceil(wait_s)))})
        self.wait_s = wait_s
        self.deadline = deadline
        self.max_wait_s = max_wait_s


class TooLate(TooBusy):
    """The answer would come, or came, after the caller's deadline."""

    type = "too_late"


class ClientGone(ServiceError):
    """The caller closed the connection while it waited. The error is only counted, not sent."""

    status = 499
    type = "client_gone"
    title = "The caller closed the connection."


class ModelUnavailable(ServiceError):
    """No model replica answered in time."""

    status = 503
    type = "model_unavailable"
    title = "The model did not answer in time."
    retry_after = "Seconds after which to retry."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})
