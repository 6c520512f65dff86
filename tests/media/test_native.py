"""What is told of a request of the pass-through before it is made: its model, and what it may cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.snapshot import Section, Snapshot
from tests.agents.inprocess import model
from tests.limits.door import CARD
from upstreams_app.services.native import NativeRequest, entry_of, estimate_native
from usage_app.registry import UsageConfig


def request_of(
    path: str, body: Any = None, *, method: str = "POST", kind: str = "application/json"
) -> NativeRequest:
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


def held_for(request: NativeRequest) -> tuple[int, int]:
    """The tokens of the question and of the answer that limits hold."""
    listed = replace(model("http://x", "fake/listed"), max_output_tokens=60_000)
    entry = entry_of(listed.lead.upstream, "passthrough/fake", request.model, known={"fake/listed": listed})
    prices = UsageConfig(overrides={f"fake/{name}": ((0.0, CARD),) for name in ("listed", "other")})

    async def estimate() -> tuple[int, int]:
        task = asyncio.current_task()
        assert task is not None
        context = RequestContext(Snapshot({"usage": Section(prices, 1)}), CallScope(task))
        wanted = estimate_native(context, entry, request)
        return wanted.input_tokens, wanted.output_tokens

    return asyncio.run(estimate())


GEMINI, CONVERSE = "/v1beta/models/other:generateContent", "/model/other/converse"


@pytest.mark.parametrize(
    ("path", "body", "tokens"),
    [
        (GEMINI, {}, 4096),
        (GEMINI, {"generationConfig": {"maxOutputTokens": 9000, "candidateCount": 3}}, 27_000),
        (GEMINI, {"generation_config": {"max_output_tokens": 9000, "candidate_count": 3}}, 27_000),
        (GEMINI, {"generationConfig": {"maxOutputTokens": 7, "max_output_tokens": 9000}}, 9000),
        (GEMINI, {"generationConfig": {"candidateCount": 2}}, 8192),
        (GEMINI, {"generationConfig": [], "generation_config": None}, 4096),
        ("/v1beta/models/listed:generateContent", {"contents": []}, 60_000),
        ("/v1beta/models/listed:generateContent", {"generationConfig": {"temperature": 1}}, 60_000),
        ("/v1beta/models/listed:generateContent", {"generationConfig": {"maxOutputTokens": 5}}, 5),
        (CONVERSE, {"inferenceConfig": {"maxTokens": 50_000}}, 50_000),
        (CONVERSE, {"inferenceConfig": {"maxTokens": 1}, "max_tokens": 50_000}, 50_000),
        ("/v1/messages", {"model": "listed", "max_tokens": 9}, 9),
    ],
)
def test_the_answer_that_a_body_allows_is_held(path: str, body: Any, tokens: int) -> None:
    assert held_for(request_of(path, body))[1] == tokens


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_json_object_is_a_prompt_whatever_it_calls_itself(kind: str) -> None:
    body = {"contents": "a" * 300, "generationConfig": {"maxOutputTokens": 5}}

    request = request_of(GEMINI, body, kind=kind)

    assert held_for(request) == (-(-len(request.held) // 3), 5)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b'--x\r\n\r\n{"model":"other"}\r\n--x--', "multipart/form-data; boundary=x"), (b"\0" * 9000, "a/b")],
)
def test_forms_and_files_are_no_prompt(body: bytes, kind: str) -> None:
    request = request_of("/v1/files", body, kind=kind)

    assert (request.text, held_for(request)[0]) == (b"", 0)
    assert request._replace(rest=endless).text == b""


def test_of_a_long_object_the_beginning_is_a_prompt() -> None:
    request = request_of(GEMINI, b' {"contents": "')._replace(rest=endless)

    assert held_for(request) == (5, 4096)


@pytest.mark.parametrize(
    ("path", "is_free"),
    [
        ("/v1/messages/count_tokens", True),
        ("/v1beta/models/other:countTokens", True),
        ("/v1/projects/p/locations/l/publishers/google/models/other:countTokens", True),
        ("/model/other-v1%3A0/count-tokens", True),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict", True),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/other:rawPredict", False),
        ("/v1/messages", False),
        ("/v1/messages/count_tokens/x", False),
        ("/v1beta/models/other:generateContent", False),
        ("/v1beta/models/other%3AcountTokens", False),
        ("/model/count-tokens/converse", False),
    ],
)
def test_counting_tokens_costs_nothing(path: str, is_free: bool) -> None:
    request = request_of(path, {"model": "other", "contents": "a" * 300})

    assert request.is_free == is_free
    assert (held_for(request) == (0, 0)) == is_free


async def endless() -> AsyncGenerator[bytes, None]:
    """More of a body."""
    while True:
        yield b"a"
