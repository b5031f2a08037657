"""What the OpenAPI document says, schemathesis tries: good and bad requests for every operation, with its checks."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from tests.support.service import Service

LIMIT = 1 << 20
GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
OPERATIONS = [
    ("POST", "/project/predict", GOOD),
    ("POST", "/project/predict", BAD),
    ("POST", "/project/bulk-predict", GOOD),
    ("POST", "/project/bulk-predict", BAD),
    ("GET", "/project/health", GOOD),
    ("GET", "/project/model", GOOD),
]


@pytest.fixture(scope="module")
def schema(service: Service) -> Any:
    return schemathesis.openapi.from_url(f"{service.url}/project/openapi.json")


def test_every_operation_is_tried(schema: Any) -> None:
    documented = {(each.ok().method.upper(), each.ok().path) for each in schema.get_all_operations()}
    assert documented == {(method, path) for method, path, _ in OPERATIONS}


@pytest.mark.parametrize(("method", "path", "mode"), OPERATIONS)
@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_operation_does_as_documented(
    schema: Any, deadline_s: float, method: str, path: str, mode: GenerationMode, data: st.DataObject
) -> None:
    case = data.draw(schema[path][method].as_strategy(generation_mode=mode))
    # it does not count 413 as a refusal, so the status is checked here
    response = case.call_and_validate(timeout=30, excluded_checks=[negative_data_rejection])
    too_large = len(response.request.body or b"") > LIMIT
    assert response.status_code == (413 if too_large else 200 if mode is GOOD else 422)
    assert mode is GOOD or response.elapsed < deadline_s
