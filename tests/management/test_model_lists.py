"""Lists of models in the forms that servers write, and LLM servers told apart by what they answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.management.model_server import ModelServer
from upstreams_app.services import discovery
from upstreams_app.services.discovery import FoundServer, find_servers
from upstreams_app.services.model_lists import MAX_MODELS, NotAModelList, guess_mode, parse_model_list


def names(value: Any) -> list[str]:
    """The names that a list holds."""
    return [item.name for item in parse_model_list(json.dumps(value).encode())]


@pytest.mark.parametrize(
    "value",
    [
        {"object": "list", "data": [{"id": "a"}, {"id": "b"}]},
        {"models": [{"name": "a"}, {"model": "b"}]},
        [{"id": "a"}, {"id": "b"}],
        ["a", "b"],
        {
            "data": [
                {"id": "a"},
                {"id": "a"},
                {"id": "b"},
                {"id": ""},
                {"id": 5},
                None,
                {"id": "x" * 201},
                {"id": " c"},
            ]
        },
    ],
)
def test_every_known_form_is_read(value: Any) -> None:
    assert names(value) == ["a", "b"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"7", b'{"data": {}}', b'{"error": "no"}', b"\xff"])
def test_what_is_no_list_is_told(body: bytes) -> None:
    with pytest.raises(NotAModelList):
        parse_model_list(body)


def test_a_list_is_cut_at_a_limit() -> None:
    assert len(names([str(number) for number in range(MAX_MODELS + 5)])) == MAX_MODELS


@pytest.mark.parametrize("field", ["max_model_len", "context_length", "context_window", "max_context_length"])
def test_the_context_window_has_many_names(field: str) -> None:
    def window(value: Any) -> int | None:
        return parse_model_list(json.dumps([{"id": "a", field: value}]).encode())[0].context_window

    assert window(4096) == 4096
    assert [window(value) for value in ("4096", 0, -1, True, 4.5, 10**12, None)] == [None] * 7


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("gpt-4o", "chat"),
        ("text-embedding-3-small", "embedding"),
        ("nomic-embed-text:latest", "embedding"),
        ("BAAI/bge-m3", "embedding"),
        ("whisper-1", "other"),
        ("gpt-4o-mini-tts", "other"),
        ("omni-moderation-latest", "other"),
        ("gpt-3.5-turbo-instruct", "completion"),
        ("llama3", "chat"),
    ],
)
def test_a_name_hints_at_the_mode(name: str, mode: str) -> None:
    assert guess_mode(name) == mode


def test_a_stated_type_beats_the_name() -> None:
    items = parse_model_list(b'[{"id": "x-embed", "type": "llm"}, {"id": "y", "type": "embeddings"}]')

    assert [item.mode for item in items] == ["chat", "embedding"]


VERSION = (200, {"version": "0.11.0"})


def models(owner: str) -> tuple[int, Any]:
    """A list of one model of this owner."""
    return 200, {"object": "list", "data": [{"id": "m", "owned_by": owner}]}


@pytest.mark.parametrize(
    ("recognise", "answers", "kind"),
    [
        (discovery._is_ollama, {"/api/version": VERSION}, "ollama"),
        (discovery._is_ollama, {"/": (200, b"Ollama is running")}, None),
        (discovery._is_lmstudio, {"/api/v0/models": models("x")}, "lmstudio"),
        (discovery._is_lmstudio, {"/v1/models": models("x")}, None),
        (discovery._kind_by_owner, {"/version": VERSION, "/v1/models": models("vllm")}, "vllm"),
        (
            discovery._kind_by_owner,
            {"/version": VERSION, "/v1/models": models("tensorrt_llm")},
            "tensorrt-llm",
        ),
        # Another gateway of ours lists its upstreams' models, and tells no version.
        (discovery._kind_by_owner, {"/v1/models": models("vllm")}, None),
        (discovery._kind_by_owner, {"/version": VERSION, "/v1/models": (401, {})}, None),
        (discovery._kind_by_owner, {"/version": (200, [1]), "/v1/models": (200, b"<html>")}, None),
    ],
)
def test_a_local_server_is_told_by_what_only_its_kind_answers(
    recognise: discovery.Recognise, answers: dict[str, Any], kind: str | None
) -> None:
    with ModelServer(answers) as server:
        found = find_servers([(recognise, server.url)])

    assert found == ([] if kind is None else [FoundServer(kind, server.url)])


def test_nobody_there_is_nothing_found() -> None:
    assert find_servers([(discovery._is_ollama, "http://127.0.0.1:9")]) == []
    assert find_servers([]) == []
