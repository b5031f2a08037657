"""docs/reference/openapi.json is what the service has at /project/openapi.json."""

from __future__ import annotations

import json

import pytest

from serve_app.settings import Settings
from tests.support.fakes import FakeModel
from tests.support.openapi import FILE, openapi_document
from tests.unit.web.test_api import connect, make_apps


def test_the_committed_document_is_the_codes() -> None:
    assert FILE.read_text(encoding="utf-8") == openapi_document(), "make openapi writes it"


async def test_the_service_answers_with_the_committed_document() -> None:
    api = make_apps(FakeModel(), Settings.model_construct())["short path"]
    async with connect(api) as client:
        served = (await client.get("/project/openapi.json")).json()
    assert served == json.loads(FILE.read_text(encoding="utf-8"))


def test_the_environment_does_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = openapi_document()
    monkeypatch.setenv("SENTIMENT_MAX_TEXTS", "7")
    assert openapi_document() == before
