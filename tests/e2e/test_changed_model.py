"""A model that is replaced behind a running ingress whose every answer is a cache hit."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import httpx

from serve_app.predict.live_models import SLACK_S
from serve_app.settings import MINI_MODEL
from tests.support.models import save_distilbert
from tests.support.replicas import replicas
from tests.support.service import Service

PROBE_S = 1.0
TEXTS = [f"A text that everybody asks for, number {number}." for number in range(20)]


def test_a_changed_model_answers_all_though_all_were_hits_and_shares_no_response(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MINI_MODEL, folder)
    service = Service(
        tmp_path,
        SENTIMENT_MODEL_DIR=str(folder),
        SENTIMENT_PRECISION="fp32",
        SENTIMENT_HEALTH_PROBE_S=str(PROBE_S),
    )
    service.start()
    try:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            _change_while_all_are_hits(service, client, folder)
    finally:
        service.stop()


def _change_while_all_are_hits(service: Service, client: httpx.Client, folder: Path) -> None:
    def ask() -> tuple[str, list[object]]:
        response = client.post("/project/predict", json={"text": TEXTS})
        assert response.status_code == 200, response.text
        return response.headers["x-model"], response.json()["predictions"]

    answers = dict([ask()])
    shutil.rmtree(folder)
    save_distilbert(folder)
    (classifier,) = replicas(service, "classifier")
    classifier.kill()
    known_at = 0.0  # when the probe had met the new model
    deadline = time.monotonic() + 90
    fingerprint = client.get("/project/model").json()["fingerprint"]
    while not known_at or time.monotonic() < known_at + 3 * PROBE_S:
        assert time.monotonic() < deadline, "the probe met no new model"
        if not known_at and client.get("/project/model").json()["fingerprint"] != fingerprint:
            known_at = time.monotonic()
        asked_at = time.monotonic()
        model, predictions = ask()
        assert answers.setdefault(model, predictions) == predictions, "each response is of one model"
        if known_at and asked_at > known_at + PROBE_S + SLACK_S:
            assert fingerprint not in model
    assert len(answers) == 2
