"""What is told of a request of the pass-through before it is made: its model, and what it may cost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from upstreams_app.services.native import NativeRequest


def request_of(path: str, body: Any = None, *, method: str = "POST", kind: str = "application/json") -> Any:
    held = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return NativeRequest(method, path, "", {"content-type": kind}, held, None, len(held))


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/chat/completions", "cheap"),
        ("/v1/messages", "cheap"),
        ("/openai/deployments/dear/chat/completions", "dear"),
        ("/model/dear-v1%3A0/converse", "dear-v1:0"),
        ("/model/dear-v1:0/converse-stream", "dear-v1:0"),
        ("/v1beta/models/dear:generateContent", "dear"),
        ("/v1beta/models/dear%3AgenerateContent", "dear"),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/dear@1:rawPredict", "dear@1"),
    ],
)
def test_a_body_names_no_other_model_than_its_path(path: str, model: str) -> None:
    assert request_of(path, {"model": "cheap"}).model == model


@pytest.mark.parametrize("body", [None, b"[]", {"model": 1}, {"model": None}, {}])
def test_who_names_no_model_has_none(body: Any) -> None:
    assert request_of("/v1/chat/completions", body).model == ""
