"""The OpenAPI document names every route once, and its page needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import pytest
from asgiref.testing import ApplicationCommunicator

from gateway_project.api import all_doors
from gateway_project.api.documents import document
from gateway_project.asgi import application
from gateway_project.lifecycle import lifecycle


async def get(path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of a GET through the ASGI application."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    communicator = cast("Any", ApplicationCommunicator)(application, scope)
    await communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await communicator.receive_output(10)
    body = await communicator.receive_output(10)
    # The first request started the background work; its threads must not outlive the test's database.
    await lifecycle.stop()
    return start["status"], dict(start["headers"]), body["body"]


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names are all different."""
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a name stands twice among {names}"
    return dict(pairs)


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    """The document as a strict reader sees it."""
    result: dict[str, Any] = json.loads(document(), object_pairs_hook=without_duplicates)
    return result


def test_it_is_an_openapi_document_without_duplicate_names(parsed: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.\d+\.\d+", parsed["openapi"])
    assert parsed["info"]["title"] == "Agent Gateway"


def test_it_names_inference_and_management(parsed: dict[str, Any]) -> None:
    assert {"/v1/chat/completions", "/v1/embeddings", "/v1/models", "/key/generate", "/model/new"} <= set(
        parsed["paths"]
    )


def test_every_documented_inference_path_is_a_door(parsed: dict[str, Any]) -> None:
    doors = {door.path for door in all_doors().all()}

    managed = ("/v1/model/info", "/v1/mcp/")

    paths = {path for path in parsed["paths"] if path.startswith("/v1/") and not path.startswith(managed)}

    assert paths <= doors


def test_operations_have_unique_ids(parsed: dict[str, Any]) -> None:
    ids = [operation["operationId"] for path in parsed["paths"].values() for operation in path.values()]

    assert len(set(ids)) == len(ids)


def test_references_lead_somewhere(parsed: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(parsed)))

    assert names <= set(parsed["components"]["schemas"])


@pytest.mark.django_db(transaction=True)
async def test_the_page_loads_only_our_own_files() -> None:
    status, headers, body = await get("/docs")

    sources = re.findall(r'(?:src|href)="([^"]+)"', body.decode())

    assert status == 200
    assert sources
    assert all(source.startswith("/static/") for source in sources)
    assert b"default-src 'self'" in headers[b"content-security-policy"]


@pytest.mark.django_db(transaction=True)
async def test_the_document_needs_no_key() -> None:
    status, headers, body = await get("/openapi.json")

    assert status == 200
    assert headers[b"content-type"] == b"application/json"
    assert json.loads(body)["paths"]
