"""docs/guides/providers.md: its table is that of the code, and each of its calls works."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.management.caller import Caller
from upstreams_app.kinds import KINDS
from upstreams_app.models import Upstream
from upstreams_app.presets import PRESETS
from upstreams_app.registry import UpstreamConfig
from upstreams_app.schemas import NewUpstream
from upstreams_app.services import probes

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "providers.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)


def call(block: str) -> tuple[str, str, Any]:
    """Method, path and body of a curl command."""
    path = re.search(r"http://127\.0\.0\.1:8000(/\S+)", block)
    body = re.search(r"-d '(.*)'", block)
    assert path is not None
    return ("POST", path[1], None if body is None else json.loads(body[1]))


def test_the_table_is_that_of_the_code() -> None:
    rows = [re.findall("`([^`]+)`", line) for line in GUIDE.splitlines() if line.startswith("| `")]

    prefixes = [[preset.path_prefix] if preset.path_prefix else [] for preset in PRESETS.values()]
    assert rows == [
        [preset.id, preset.base_url, *path, f"{preset.prefix}/", *preset.key_variables]
        for preset, path in zip(PRESETS.values(), prefixes, strict=True)
    ]


def test_the_options_are_those_of_the_kinds() -> None:
    rows = re.findall(r"^\| ([^|`]+) \| `(\w+)` \| ([^|]+) \|$", GUIDE, re.MULTILINE)

    assert rows == [
        (kind.label, option.name, option.help) for kind in KINDS.values() for option in kind.options
    ]


def test_the_api_names_the_options() -> None:
    said = str(NewUpstream.model_fields["options"].description)

    for kind in KINDS.values():
        assert all(f"{kind.id} has " in said and option.name in said for option in kind.options)


def test_every_variable_of_a_key_is_named() -> None:
    for kind in KINDS.values():
        if kind.provider:
            assert all(f"`{name}`" in GUIDE for name in kind.key_variables)


def test_every_call_works(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = json.dumps({"data": [{"id": "llama-3.1-8b-instant"}]}).encode()

    async def get(_config: UpstreamConfig, _url: str, _own: object) -> probes.ModelsAnswer:
        return probes.ModelsAnswer(200, listed, 1.0)

    monkeypatch.setattr(probes, "_get", get)

    for block in BLOCKS:
        method, path, body = call(block)
        answer = admin.request(method, path, body)
        assert answer.status_code in (200, 201), (block, answer.content)

    assert set(Upstream.objects.values_list("name", flat=True)) >= {"groq", "azure"}
    assert Upstream.objects.get(api_version="2024-10-21").kind == "azure-openai"
