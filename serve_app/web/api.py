"""The FastAPI application: the contract's routes, and nothing outside /project."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from model.labels import MULTI_LABEL, SINGLE_LABEL
from serve_app.errors import (
    MethodNotAllowed,
    NotFound,
    ServiceError,
    Unauthorized,
)
from serve_app.metrics import Metrics
from serve_app.predict.health import HealthMonitor
from serve_app.predict.predictor import Predictor
from serve_app.settings import Settings
from serve_app.web.compression import Compress
from serve_app.web.docs_page import add_docs, describe_keys
from serve_app.web.error_replies import PREDICT_ERRORS, error_reply, openapi_responses
from serve_app.web.guard import open_paths
from serve_app.web.head import HeadAsGet
from serve_app.web.predict_endpoint import PATHS, PredictEndpoint
from serve_app.web.schemas import Health, ModelCard, PredictResponse
from serve_app.web.security_headers import SecurityHeaders
from serve_app.web.try_it import add_page

ROOT = "/project"


def build_api(
    settings: Settings, predictor: Predictor, endpoint: PredictEndpoint, health: HealthMonitor, metrics: Metrics
) -> FastAPI:
    """The application that answers under `/project`, from the parts given."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        metrics.start()
        predictor.start()
        health.start()
        yield
        await health.close()
        await predictor.close()
        await metrics.close()

    api: FastAPI = FastAPIOffline(
        title="FastAPI",
        summary="Sentiment predictions from DistilBERT.",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{ROOT}/openapi.json",
        static_url=f"{ROOT}/docs/static",
        redirect_slashes=False,
        lifespan=lifespan,
    )
    _add_error_handlers(api, metrics)
    _add_predict(api, settings, endpoint)
    add_page(api, ROOT)
    add_docs(api, ROOT, f"{ROOT}/docs/static")
    if settings.api_keys_file is not None:
        describe_keys(api, open_paths(settings), openapi_responses([Unauthorized]))
    api.add_middleware(SecurityHeaders)
    api.add_middleware(Compress)
    api.add_middleware(HeadAsGet)

    @api.get(
        f"{ROOT}/health",
        response_model_exclude_none=True,
        responses={503: {"model": Health, "description": "No prediction has succeeded in the last seconds."}},
    )
    async def get_health() -> Health:
        """Healthy only while a real prediction through the model has succeeded in the last seconds."""
        reason = health.unhealthy_reason()
        if reason is None:
            return Health(status="healthy")
        return JSONResponse({"status": "unhealthy", "reason": reason}, 503)  # type: ignore[return-value]

    @api.get(f"{ROOT}/model", response_model_exclude_unset=True, responses=openapi_responses([ServiceError]))
    async def get_model() -> ModelCard:
        """The model that answers."""
        identity = predictor.identity
        card = ModelCard(
            name=identity.name,
            revision=identity.revision,
            fingerprint=identity.fingerprint,
            precision=identity.precision,
            labels=list(identity.labels),
            max_tokens=identity.max_tokens,
            accuracy=identity.accuracy,
        )
        return card if identity.problem_type == SINGLE_LABEL else card.model_copy(update={"problem_type": MULTI_LABEL})

    return api


def _add_predict(api: FastAPI, settings: Settings, endpoint: PredictEndpoint) -> None:
    options: dict[str, Any] = {
        "response_model": PredictResponse,
        "responses": openapi_responses(PREDICT_ERRORS),
        "openapi_extra": {
            "requestBody": {
                "required": True,
                "description": f"At most {settings.max_body_bytes} bytes. A body without a Content-Type is JSON.",
                "content": {"application/json": {"schema": endpoint.request_model.model_json_schema()}},
            }
        },
    }

    # The endpoint reads and parses the body itself, since FastAPI refuses a body without a Content-Type,
    # echoes input in its errors, and validates the answer a second time.
    async def predict(request: Request) -> Response:
        """Every label of the model with its score for each text, the highest score first."""
        return (await endpoint.reply(request.scope["headers"], request.receive)).response()

    for path in PATHS:
        api.post(path, **options)(predict)


def _add_error_handlers(api: FastAPI, metrics: Metrics) -> None:
    def answer(error: ServiceError) -> Response:
        metrics.errors.add(error.type, 1)
        return error_reply(error).response()

    async def service_error(_: Request, error: Exception) -> Response:
        return answer(error if isinstance(error, ServiceError) else ServiceError())

    async def http_error(_: Request, error: Exception) -> Response:
        kind: Callable[..., ServiceError] = MethodNotAllowed if getattr(error, "status_code", 0) == 405 else NotFound  # noqa: PLR2004
        headers = dict(getattr(error, "headers", None) or {})
        if headers.get("Allow") == "GET":
            headers["Allow"] = "GET, HEAD"
        return answer(kind(headers=headers))

    api.add_exception_handler(ServiceError, service_error)
    api.add_exception_handler(HTTPException, http_error)
    api.add_exception_handler(Exception, service_error)
