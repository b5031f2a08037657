"""The Serve application: `serve run serve_app.app:build_app`, and what serve_config.yaml imports."""

# No `from __future__ import annotations` here: Serve reads the type of build_app's argument to make it
# from the application's args, and a string tells it nothing.

from ray import serve
from ray.serve import Application

from serve_app.classifier.replica import Classifier
from serve_app.ingress import Ingress
from serve_app.settings import Settings

# Every access is already counted by HAProxy, and a log line each would cost a tenth of a cache hit. Without
# its access log Serve still makes each line before it is dropped, so the level is what saves the work.
LOGGING = {"enable_access_log": False, "log_level": "WARNING"}


def build_app(args: Settings) -> Application:
    """Bind the two deployments; the only place that binds.

    How many replicas there are, and with what resources, is serve_config.yaml's to say; what stands
    here is for a run without it.
    """
    classifier = serve.deployment(
        name="classifier",
        # what waits must wait in the batch queue: past this bound Serve's router would poll with growing pauses
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
        # more than HAProxy has connections: behind those that wait for the model no hit may have to wait
        max_ongoing_requests=5000,
        ray_actor_options={"num_cpus": 0.25},
        logging_config=LOGGING,
        health_check_period_s=2,
        health_check_timeout_s=5,
    )(Ingress)
    return ingress.bind(args, classifier.bind(args))
