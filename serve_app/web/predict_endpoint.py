"""The predict endpoint, from body to reply, and the fast path to it, past FastAPI."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.errors import ServiceError
from serve_app.metrics import Metrics
from serve_app.predict.caller import Caller
from serve_app.predict.outcome import Outcome
from serve_app.predict.predictor import Predictor
from serve_app.settings import Settings
from serve_app.web.api_keys import cache_owner
from serve_app.web.body import read_body
from serve_app.web.compression import MIN_GZIP_BYTES, CompressingSend
from serve_app.web.error_replies import error_reply
from serve_app.web.reply import Headers, Reply
from serve_app.web.request_parser import RequestParser
from serve_app.web.schemas import PredictRequest
from serve_app.web.unfinished import MAX_BYTES, UnfinishedBodies

MAX_TRUNCATED_BYTES = 4096
"""Limit of X-Truncated: HAProxy turns an answer whose headers are larger than its buffer into a 500."""

PATHS = ("/project/predict", "/project/bulk-predict")

logger = logging.getLogger("ray.serve")


class PredictEndpoint:
    """Answers predict requests, from the fast path and from FastAPI."""

    def __init__(self, settings: Settings, predictor: Predictor, metrics: Metrics) -> None:
        self._parser = RequestParser(settings)
        self.request_model: type[PredictRequest] = self._parser.model
        self._max_body_bytes = settings.max_body_bytes
        self._body_timeout_s = settings.body_timeout_s
        self._unfinished = UnfinishedBodies(max_bytes=max(MAX_BYTES, 4 * settings.max_body_bytes))
        self._cache_headers = settings.cache_headers
        self._cache_per_key = settings.cache_per_key
        self._predictor = predictor
        self._metrics = metrics

    async def reply(self, headers: Headers, receive: Receive) -> Reply:
        """The reply to a request with these headers and this body; an error is a reply too."""
        try:
            body = await read_body(headers, receive, self._max_body_bytes, self._body_timeout_s, self._unfinished)
            texts = self._parser.texts(body)
            caller = Caller(headers, receive, cache_owner(headers) if self._cache_per_key else b"")
            return predict_reply(await self._predictor.predict(texts, caller), cache_headers=self._cache_headers)
        except ServiceError as error:
            self._metrics.errors.add(error.type, 1)
            return error_reply(error)
        except Exception as error:  # noqa: BLE001  (a defect must answer too)
            # only the type: a message or a traceback may quote the caller's text
            logger.error("predict failed: %s", type(error).__name__)
            self._metrics.errors.add(ServiceError.type, 1)
            return error_reply(ServiceError())


class FastPath:
    """ASGI application that sends predict requests straight to their endpoint, and all others to FastAPI.

    FastAPI would call the same endpoint, but its middleware and routing are three quarters of a cache hit's cost.
    """

    def __init__(self, endpoint: PredictEndpoint, api: ASGIApp) -> None:
        self._endpoint = endpoint
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in PATHS:
            reply = await self._endpoint.reply(scope["headers"], receive)
            await reply.send(send if len(reply.body) < MIN_GZIP_BYTES else CompressingSend(send, scope["headers"]))
        else:
            await self._api(scope, receive, send)


def predict_reply(outcome: Outcome, *, cache_headers: bool = True) -> Reply:
    """The reply with these predictions: the body is joined from ready bytes, everything else is in headers.

    Without `cache_headers` no header reveals what was in the cache.
    """
    body = b'{"predictions":[' + b",".join([prediction.json for prediction in outcome.predictions]) + b"]}"
    timings = outcome.timings
    identity = outcome.identity
    headers = [(b"x-model", f"{identity.name}@{identity.fingerprint}".encode("latin-1", "replace"))]
    if cache_headers:
        headers += [
            (b"x-cache", b"hit=%d,miss=%d,coalesced=%d" % (outcome.hit, outcome.miss, outcome.coalesced)),
            (
                b"server-timing",
                b"cache;dur=%.2f, queue;dur=%.2f, tokenize;dur=%.2f, model;dur=%.2f"
                % (timings.cache, timings.queue, timings.tokenize, timings.model),
            ),
        ]
    truncated = [b"%d" % index for index, prediction in enumerate(outcome.predictions) if prediction.truncated]
    if truncated:
        indices = b",".join(truncated)
        if len(indices) > MAX_TRUNCATED_BYTES:
            indices = indices[: indices.rindex(b",", 0, MAX_TRUNCATED_BYTES + 1)]
            headers.append((b"x-truncated-count", b"%d" % len(truncated)))
        headers.append((b"x-truncated", indices))
    return Reply(200, headers, body)
