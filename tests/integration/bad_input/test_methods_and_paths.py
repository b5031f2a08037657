"""Other methods, other spellings of the path, and headers that lie or attack: each its exact status."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.bad_input.requests import CANARY, raw, status, texts
from tests.support.service import Service


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_a_wrong_method_is_405(service: Service, method: str) -> None:
    head = f"{method} /project/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert status(raw(service, head.encode())) == 405


@pytest.mark.parametrize("path", ["/project/health", "/project/model", "/project/docs", "/project/openapi.json"])
def test_a_post_to_what_is_only_read_is_405(client: httpx.Client, path: str) -> None:
    assert client.post(path, content=texts("a")).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//project/predict",
        "/project//predict",
        "/project/predict//",
        "/project/predict%2f",
        "/project/unknown/",
        "/project/predict%00",
        "/project/predict;a=b",
        "/PROJECT/predict",
        "/project/Predict",
        "/project/../x",
        "/project/./predict",
        "/project/x/../predict",
        "/predict",
        "/lab/predict",
        "/project/" + "x" * 8000,
    ],
    ids=lambda path: path[:30],
)
def test_another_spelling_of_the_path_is_404(service: Service, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    assert status(raw(service, head.encode())) == 404


def test_a_path_is_decoded_once(service: Service) -> None:
    head = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    found = [
        status(raw(service, head.format(path).encode())) for path in ("/project/%70redict", "/project/%2570redict")
    ]
    assert found == [422, 404]


@pytest.mark.parametrize("path", ["/project/predict?x=1", "/project/predict?" + "x" * 8000, "/project/predict?%ff%00"])
def test_a_query_is_no_matter(client: httpx.Client, path: str) -> None:
    assert client.post(path, content=texts("a")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"x-request-id": "'; DROP TABLE x; --", "cookie": CANARY},
        {"x-request-id": CANARY * 400},
        {"content-type": CANARY},
        {"content-type": "application/json; charset=utf-8; odd=1"},
        {"content-type": "multipart/form-data"},
        {"accept": "text/html;q=nonsense", "accept-encoding": CANARY},
        {"authorization": f"Bearer {CANARY}"},
        {"x-forwarded-for": CANARY, "forwarded": f"for={CANARY}"},
        {"user-agent": "${jndi:ldap://x}<script>%s%n"},
        {"range": "bytes=0-1", "if-none-match": "*", "if-match": CANARY},
        {"referer": CANARY, "sec-fetch-mode": CANARY},
        {"x-http-method-override": "DELETE"},
        {"serve_multiplexed_model_id": CANARY},
        {"x-request-id": b"\xff"},
        {"x-request-id": CANARY.encode() * 1200},
        {"x-session-id": b"\xff"},
        {"serve_multiplexed_model_id": b"\xff"},
        {"x-request-timeout-seconds": b"\xff"},
        {"x-request-timeout-seconds": b"0.000001"},
        {"traceparent": b"\xff", "x-other": b"\xff"},
        {"connection": "x-cache, keep-alive"},
    ],
    ids=",".join,
)
def test_odd_headers_change_nothing(client: httpx.Client, headers: dict[str, str | bytes]) -> None:
    pairs = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]
    response = client.post("/project/predict", content=texts("I love you."), headers=pairs)
    assert response.status_code == 200
    assert response.json()["predictions"][0][0]["label"] == "POSITIVE"
    assert CANARY not in response.text
    assert not {"evil.example", "x-evil"} & {*response.headers, *response.headers.values()}
