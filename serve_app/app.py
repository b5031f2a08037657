"""The Serve application: `serve run serve_app.app:build_app`, and what serve_config.yaml imports."""

# No `from __future__ import annotations` here: Serve reads the type of build_app's argument to make it
# from the application's args, which it cannot do from a string.

from ray import serve
from ray.serve import Application

from serve_app.classifier.replica import Classifier
from serve_app.ingress import Ingress
from serve_app.settings import Settings

# Requests are already counted, and a log line for each would cost a tenth of a cache hit. With the access log
# off, Serve still formats each line before it drops it; only the log level saves that work.
LOGGING = {"enable_access_log": False, "log_level": "WARNING"}


def build_app(args: Settings) -> Application:
    """Bind the two deployments.

    serve_config.yaml sets the number of replicas and their resources; the values here are for a run without it.
    """
    classifier = serve.deployment(
        name="classifier",
        # calls must wait in the classifier's queue: beyond this limit Serve's router polls with growing pauses
        max_ongoing_requests=1000,
        max_queued_requests=1000,
        request_router_config={"request_router_class": "serve_app.predict.router:Router"},
        ray_actor_options={"num_cpus": 1},
        logging_config=LOGGING,
        health_check_period_s=2,
        health_check_timeout_s=5,
    )(Classifier)
    ingress = serve.deployment(
        name="ingress",
        # more than ever wait for the model, so that no hit waits behind those
        max_ongoing_requests=5000,
        ray_actor_options={"num_cpus": 0.25},
        logging_config=LOGGING,
        health_check_period_s=2,
        health_check_timeout_s=5,
    )(Ingress)
    return ingress.bind(args, classifier.bind(args))
