"""The service as `make run` starts it, with stamps: `python -m benchmarks.trace.service`."""

# No `from __future__ import annotations` here: Serve reads the type of build_app's argument.

from typing import Any

from ray.serve import Application
from starlette.middleware import Middleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

import serve_app.app
import serve_app.local.__main__ as local
from benchmarks.trace.stamps import wrap
from model import engine
from model.tokenizer import TextTokenizer
from serve_app import command_line
from serve_app.classifier.replica import Classifier
from serve_app.local.config import local_config
from serve_app.predict.model_client import RemoteModel
from serve_app.settings import Settings
from serve_app.web import before_serve
from serve_app.web.predict_endpoint import PredictEndpoint


class TracedClassifier(Classifier):
    """A model replica with stamps."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)  # before the stamps, since the warm-up is not a request
        wrap(Classifier, "classify", "classifier", "classified", last=True)
        wrap(TextTokenizer, "encode", "tokenize", "tokenized")
        for kind in vars(engine).values():
            if isinstance(kind, type) and kind.__module__ == engine.__name__ and "score" in vars(kind):
                wrap(kind, "score", "pass", "passed")


def middlewares() -> list[Middleware]:
    """The service's own middleware, with stamps in an ingress replica; Serve calls this in each HTTP server."""
    ours = before_serve.middlewares()
    if ours:
        wrap(HttpToolsProtocol, "data_received", "received")
        wrap(before_serve.BeforeServe, "__call__", "middleware", "answered", last=True)
        wrap(PredictEndpoint, "reply", "endpoint", "replied")
        wrap(RemoteModel, "classify", "call", "called")
    return ours


def build_app(args: Settings) -> Application:
    """The service's own application, with TracedClassifier."""
    serve_app.app.Classifier = TracedClassifier  # type: ignore[attr-defined]
    return serve_app.app.build_app(args)


def _config(port: int, cpus: int, replicas: int | None = None) -> dict[str, Any]:
    config = local_config(port, cpus, replicas)
    config["applications"][0]["import_path"] = f"{__spec__.name}:build_app"
    return config


if __name__ == "__main__":
    local.local_config = _config  # type: ignore[attr-defined]
    command_line.run(local.main)
