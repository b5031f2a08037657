"""The ingress deployment: the FastAPI application in front of the predictor."""

from __future__ import annotations

import gc
import logging
import sys
import time
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus
from starlette.types import ASGIApp

from model.directory import open_directory
from serve_app.cache.redis import open_redis
from serve_app.core_dumps import forbid_core_dumps
from serve_app.identity import identify
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission
from serve_app.predict.health import HealthMonitor
from serve_app.predict.model_client import RemoteModel
from serve_app.predict.predictor import Predictor
from serve_app.scaling import LOAD, Meter
from serve_app.settings import Settings
from serve_app.web import before_serve
from serve_app.web.api import build_api
from serve_app.web.backlog import let_more_connections_wait
from serve_app.web.counted import Counted
from serve_app.web.guard import guarded
from serve_app.web.predict_endpoint import PATHS, FastPath, PredictEndpoint

GC_THRESHOLD = (10_000, 50, 50)
"""Rarer than by default: requests leave no reference cycles behind, and a collection that walks through a full cache
stops every request for a tenth of a second."""

SWITCH_INTERVAL_S = 0.0005
"""How long a request waits at most for Ray's threads to release the GIL; Python's default is ten times as long."""

logger = logging.getLogger("ray.serve")


@serve.ingress()
class Ingress:
    """One ingress replica: validates, asks the predictor, shapes the answer."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it, as documented
        self, settings: Settings, classifier: DeploymentHandle[Any]
    ) -> None:
        forbid_core_dumps()
        gc.set_threshold(*GC_THRESHOLD)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        let_more_connections_wait()
        metrics = Metrics()
        self._cpu = Meter(time.process_time)  # its event loop runs on one CPU, so 1 is its capacity
        # from the settings, so that it can answer from Redis before a model has answered
        identity = identify(open_directory(settings.model_dir), settings.precision, settings.max_tokens)
        # plain pickle, since cloudpickle, Serve's default, takes longer to find that it is not needed
        calls = classifier.options(request_serialization="pickle", response_serialization="pickle")
        model = RemoteModel(calls, settings, metrics, identity)
        admission = Admission(settings, metrics)
        shared, probe_s = open_redis(settings, metrics), settings.health_probe_s
        predictor = Predictor(model, shared, admission, settings.cache_entries, metrics, probe_s=probe_s)
        endpoint = PredictEndpoint(settings, predictor, metrics)
        health = HealthMonitor(model, settings, metrics, predictor.saw)
        api = build_api(settings, predictor, endpoint, health, metrics)
        self._app = Counted(guarded(FastPath(endpoint, api), settings, metrics), metrics)
        if settings.before_serve:
            before_serve.offer(self._app, PATHS)
            if reason := before_serve.unavailable():
                logger.warning("Predict requests pass through Serve, and cache hits are slower: %s.", reason)
        if settings.start_healthy:
            # An upgrade goes on once the new replicas have started, so a version whose model does not answer never
            # replaces one that does. A replica started later does not wait, since it can answer from Redis.
            await health.first_answer(_is_being_deployed)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The ASGI application; Serve calls this after the constructor, in the replica."""
        return self._app

    def record_autoscaling_stats(self) -> dict[str, float]:
        """The load that Serve polls: the CPUs that this process has used since, all its threads together."""
        return {LOAD: self._cpu.share()}


def _is_being_deployed() -> bool:
    """Whether Serve is still bringing up this version of the application, or has not said yet."""
    application = serve.status().applications.get(serve.get_replica_context().app_name)
    return application is None or application.status == ApplicationStatus.DEPLOYING
