"""Swagger UI at /project/docs, with all its files served from here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from serve_app.web.security_headers import page_policy


def add_docs(api: FastAPI, root: str, static: str) -> None:
    """Answer `root`/docs with Swagger UI from the files below `static`."""
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title=f"{api.title} - Swagger UI",
        swagger_js_url=f"{static}/swagger-ui-bundle.js",
        swagger_css_url=f"{static}/swagger-ui.css",
        swagger_favicon_url=f"{static}/favicon.png",
    ).body
    content = bytes(page).decode()
    allowed = {"script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:"}
    headers = {"Content-Security-Policy": page_policy(content, allowed), "Cache-Control": "no-cache"}

    @api.get(f"{root}/docs", include_in_schema=False)
    async def get_docs() -> HTMLResponse:
        return HTMLResponse(content, headers=headers)


def describe_keys(api: FastAPI, open_paths: tuple[str, ...], responses: dict[int | str, Any]) -> None:
    """State in the OpenAPI document that all but `open_paths` need a key, and how a request without one is refused."""
    plain = api.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if path in open_paths:
                    operation["security"] = []
                else:
                    operation["responses"] |= {str(status): response for status, response in responses.items()}
        return document

    api.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's own guide extends the document
