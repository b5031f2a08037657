"""Every query of the dashboard, and every alert's, asked of a real Prometheus that scrapes the running service."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.manifests import KUBERAY
from tests.support.prometheus import Prometheus, metrics_addresses, program
from tests.support.service import Service
from tests.support.wait import until

DASHBOARD = json.loads((KUBERAY / "components" / "dashboard" / "sentiment.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((KUBERAY / "monitoring" / "prometheusrule.yaml").read_text(encoding="utf-8"))
QUERIES = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}


@pytest.fixture(scope="module")
def prometheus(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus beside the service, which has a little load all the while: hits, misses and refusals."""
    program("prometheus")
    service.post("metrics begin")
    until(lambda: len(metrics_addresses(service)) == 2, "Ray and HAProxy tell their metrics", 60)
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), metrics_addresses(service))
    stop = threading.Event()

    def load() -> None:
        number = 0
        while not stop.wait(0.05):
            service.post("a hit", f"a miss {number}")
            service.post(number)
            number += 1

    loading = threading.Thread(target=load)
    loading.start()
    yield prometheus
    stop.set()
    loading.join()
    prometheus.stop()


@pytest.mark.parametrize("title", QUERIES)
def test_every_panel_has_data(title: str, prometheus: Prometheus) -> None:
    query = QUERIES[title].replace("$__rate_interval", "30s")
    query = query.replace("$namespace", ".*").replace("$cluster", ".*")  # as "All" has it
    until(lambda: prometheus.query(query), f"there is data for {query}", 60)


@pytest.mark.parametrize("rule", RULES["spec"]["groups"][0]["rules"], ids=lambda rule: str(rule["alert"]))
def test_every_alert_is_a_query_that_is_quiet_on_a_healthy_service(
    rule: dict[str, str], prometheus: Prometheus
) -> None:
    until(lambda: prometheus.query("ray_sentiment_healthy"), "metrics are there", 60)
    if rule["alert"] != "SentimentServerErrors":  # other tests of the session make some
        assert prometheus.query(rule["expr"]) == []


def test_panels_say_what_they_show_and_have_places_of_their_own() -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert all(panel["description"] for panel in panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """The rules as promtool reads them, against the series of tests/alerts.yaml."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES["spec"]))
    cases = Path(__file__).parent.parent / "alerts.yaml"
    (tmp_path / "alerts.yaml").write_text(cases.read_text(encoding="utf-8"))
    done = subprocess.run(
        [program("promtool"), "test", "rules", "alerts.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
