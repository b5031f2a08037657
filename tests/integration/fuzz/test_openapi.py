"""What the OpenAPI document says, schemathesis tries: good and bad requests for every operation, every check on."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis

from tests.service import Service


@pytest.fixture
def api_schema(service: Service) -> Any:
    return schemathesis.openapi.from_url(f"{service.url}/project/openapi.json")


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
def test_every_operation_does_as_documented(case: schemathesis.Case[Any], deadline_s: float) -> None:
    response = case.call_and_validate(timeout=30)
    assert response.status_code < 500
    assert response.elapsed < deadline_s
