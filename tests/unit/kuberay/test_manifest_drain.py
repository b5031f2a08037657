"""Every pod that answers for the project drains before its end, and has the time for it."""

from __future__ import annotations

from serve_app.drain import CLOSE_S, MAX_FINISH_S
from serve_app.local.processes import GRACE_S
from tests.support.manifests import Manifest, each_overlay, pod_templates

RAY_STOPS_S = 10.0
"""What a Ray node takes to end after SIGTERM, at most."""


def answering(overlay: str) -> list[Manifest]:
    """The pod templates whose containers answer on the project's behalf."""
    return [
        template
        for _, template in pod_templates(overlay)
        if template["spec"]["containers"][0]["name"] in ("ray-worker", "project")
    ]


@each_overlay
def test_a_pod_drains_and_ends_within_its_grace_period(overlay: str) -> None:
    (template,) = answering(overlay)
    (container,) = template["spec"]["containers"]
    *command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == ["python", "-m", "serve_app.drain"]
    # where Serve starts HAProxy anew meanwhile, the run closes it once more
    ends = RAY_STOPS_S if container["name"] == "ray-worker" else GRACE_S + 2 * CLOSE_S
    grace = template["spec"]["terminationGracePeriodSeconds"]
    assert 5 <= float(seconds) <= grace - MAX_FINISH_S - 2 * CLOSE_S - ends
