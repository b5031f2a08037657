"""Models with other labels than the default one's, by everything that a user touches."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from benchmarks.browser import ABSENT, chromium, find_chromium
from tests.support import k6
from tests.support.redis_server import RedisServer
from tests.support.reference import reference
from tests.support.service import REPOSITORY, Service
from tests.support.wait import until
from tests.zoo.models import EMOTIONS, MULTI, named
from tests.zoo.specimen import Specimen
from tests.zoo.tokenizers import BERT, MULTILINGUAL

CASED = {**BERT, "do_lower_case": False}
THREE = Specimen("cased", named("negative", "neutral", "positive"), labels=3, fast=None, settings=CASED)
SIX = Specimen("multilingual", {**EMOTIONS, **MULTI}, labels=6, vocabulary=MULTILINGUAL, settings=CASED)
TEXTS = ["Good film", "good film", "schön", "awful", ""]


class Started:
    """A service with a model of its own, which remembers nothing in the process, so that Redis answers."""

    def __init__(self, specimen: Specimen, redis: RedisServer, folder: Path) -> None:
        self.labels = [str(label) for label in specimen.config["id2label"].values()]
        self.multi_label = "problem_type" in specimen.config
        self.model = specimen.make(folder / "model")
        self.redis = redis
        self.service = Service(
            folder,
            REDIS_URL=redis.url,
            SENTIMENT_CACHE_ENTRIES="0",
            SENTIMENT_PRECISION="fp32",
            SENTIMENT_MODEL_DIR=str(self.model),
        )
        self.service.start()


@pytest.fixture(scope="module", params=[THREE, SIX], ids=["three labels", "six labels"])
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    started = Started(request.param, redis, tmp_path_factory.mktemp("other"))
    yield started
    assert started.service.stop() == 128 + 15
    redis.stop()


def test_answers_are_the_pipelines_and_come_from_redis_the_second_time(started: Started) -> None:
    answer = started.service.post(*TEXTS)
    assert answer.status_code == 200
    for predicted, wanted in zip(answer.json()["predictions"], reference(started.model)(TEXTS), strict=True):
        assert [entry["label"] for entry in predicted] == list(wanted)
        assert [entry["score"] for entry in predicted] == pytest.approx(list(wanted.values()), abs=1e-5)
    keys = "fastapi-cache-project::*"
    until(lambda: len(started.redis.client.keys(keys)) == len(TEXTS), "the answers are in Redis", 5)
    again = started.service.post(*TEXTS)
    assert again.headers["x-cache"] == f"hit={len(TEXTS)},miss=0,coalesced=0"
    assert again.content == answer.content
    value = json.loads(started.redis.client.get(started.redis.client.keys(keys)[0]) or "")
    assert [type(part) for part in value] == [float] * len(started.labels) + [bool]


def test_the_model_lists_its_labels_in_their_order(started: Started) -> None:
    card = httpx.get(f"{started.service.url}/project/model").json()
    assert card["labels"] == started.labels
    assert card.get("problem_type") == ("multi_label_classification" if started.multi_label else None)
    document = httpx.get(f"{started.service.url}/project/openapi.json").json()
    entries = document["components"]["schemas"]["PredictResponse"]["properties"]["predictions"]["items"]
    assert (entries["minItems"], entries.get("maxItems")) == (1, None)


@pytest.mark.skipif(find_chromium() is None, reason=ABSENT)
def test_the_page_shows_every_label(started: Started) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{started.service.url}/project/")
        page.get_by_label("Texts, one a line").fill("Good film\nawful")
        page.get_by_role("button", name="Predict").click()
        expect(page.get_by_role("status")).to_contain_text("2 texts in")
        expect(page.locator("#answers > li")).to_have_count(2)
        for item in page.locator("#answers > li").all():
            expect(item.locator(".score")).to_have_count(len(started.labels))
            for label in started.labels:
                expect(item).to_contain_text(label)


def test_the_load_finds_every_answer_right(started: Started) -> None:
    run = k6.load(started.service.url)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 wrong" in run.stdout


def test_evaluate_goes_by_the_labels_names(started: Started, tmp_path: Path) -> None:
    predictions = started.service.post(*TEXTS[:4]).json()["predictions"]
    rows = [f"{text}\t{answer[0]['label'].upper()}" for text, answer in zip(TEXTS, predictions, strict=False)]
    (tmp_path / "dev.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "model.evaluate", str(started.model), "--data", str(tmp_path)]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert "1.0" in next(line for line in run.stdout.splitlines() if "accuracy" in line)
