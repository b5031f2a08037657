"""`python -m tests.support.openapi` (`make openapi`): writes docs/reference/openapi.json from the code."""

from __future__ import annotations

import json

from serve_app.cache.base import NoSharedCache
from serve_app.metrics import Metrics
from serve_app.overload.admission import Admission
from serve_app.predict.health import HealthMonitor
from serve_app.predict.predictor import Predictor
from serve_app.settings import Settings
from serve_app.web.api import build_api
from serve_app.web.predict_endpoint import PredictEndpoint
from tests.support.fakes import FakeModel
from tests.support.service import REPOSITORY

FILE = REPOSITORY / "docs" / "reference" / "openapi.json"


def openapi_document() -> str:
    """The OpenAPI document with the default settings, whatever the environment says, as indented JSON."""
    settings = Settings.model_construct()
    metrics, model = Metrics(), FakeModel()
    predictor = Predictor(model, lambda _: NoSharedCache(), Admission(settings, metrics), 0, metrics)
    endpoint = PredictEndpoint(settings, predictor, metrics)
    api = build_api(settings, predictor, endpoint, HealthMonitor(model, settings, metrics, predictor.saw), metrics)
    return json.dumps(api.openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(openapi_document(), encoding="utf-8")
