"""The OpenAPI document of everything, and the page that shows it; all assets are served from here."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from ninja import NinjaAPI, Router

from gateway_project.api import (
    health,
    inference,
    judging,
    mcp_rest,
    media,
    messages,
    models,
    passthrough,
)
from gateway_project.api.doors import PUBLIC, door
from gateway_project.api.exchange import Exchange
from gateway_project.api.management import management_api
from gateway_project.core.codec import dumps
from gateway_project.core.db import in_thread
from gateway_project.middleware import ADMIN_POLICY

router = Router(tags=["documentation"])
_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Agent Gateway API</title>
<link rel="stylesheet" href="/static/ninja/swagger-ui.css">
<link rel="icon" href="/static/ninja/favicon.png">
</head>
<body>
<main id="swagger-ui"></main>
<script src="/static/ninja/swagger-ui-bundle.js"></script>
<script src="/static/gateway/docs.js"></script>
</body>
</html>
"""


@door(router, "GET", "/openapi.json", access=PUBLIC, include_in_schema=False)
async def openapi_document(exchange: Exchange) -> None:
    """The OpenAPI 3.1 document of the inference and management API."""
    await exchange.send_body(200, await in_thread(document))


@door(router, "GET", "/docs", access=PUBLIC, include_in_schema=False)
async def docs_page(exchange: Exchange) -> None:
    """Swagger UI over the document."""
    headers = [(b"content-security-policy", ADMIN_POLICY.encode())]
    await exchange.send_body(
        200, _PAGE, content_type=(b"content-type", b"text/html; charset=utf-8"), extra=headers
    )


@cache
def document() -> bytes:
    """Both APIs' documents as one, rendered once."""
    inference_api = NinjaAPI(
        title="Agent Gateway",
        version=settings.VERSION,
        urls_namespace="inference",
        docs_url=None,
        openapi_url=None,
    )
    for module in (inference, judging, media, messages, models, passthrough, mcp_rest, health):
        inference_api.add_router("", module.router)
    merged: dict[str, Any] = {}
    for api in (inference_api, management_api):
        part = api.get_openapi_schema(path_prefix="")
        merged = _merge(merged, part) if merged else dict(part)
    merged["info"]["description"] = "One door to models: OpenAI's API, and the administration of the gateway."
    schemes = merged.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["BearerAuth"] = {"type": "http", "scheme": "bearer"}
    schemes["ApiKeyAuth"] = {"type": "apiKey", "in": "header", "name": "x-api-key"}
    return dumps(_with_text_keys(merged))


def _merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two documents as one; mappings are united, elsewhere the first wins."""
    merged = dict(first)
    for name, value in second.items():
        if isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merge(merged[name], value)
        else:
            merged.setdefault(name, value)
    return merged


def _with_text_keys(value: Any) -> Any:
    """ninja keys its responses by number, ours are text: as JSON the two would be the same key twice."""
    if isinstance(value, dict):
        texts = {name: _with_text_keys(item) for name, item in value.items() if isinstance(name, str)}
        numbers = {
            str(name): _with_text_keys(item) for name, item in value.items() if not isinstance(name, str)
        }
        return {**numbers, **texts}
    return [_with_text_keys(item) for item in value] if isinstance(value, list | tuple) else value
