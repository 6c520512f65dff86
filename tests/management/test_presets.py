"""Presets: the address, the paths and the credential of known services, in each way to name them."""

from __future__ import annotations

import json

import pytest

from security_app.services.configuration import store
from tests.management.caller import VENDOR_SECRET, Caller
from tests.management.model_bodies import body
from tests.management.model_server import ModelServer
from upstreams_app.models import HealthSample, Upstream, UpstreamModel
from upstreams_app.presets import PRESETS, Preset, preset_at
from upstreams_app.registry import UpstreamConfig
from upstreams_app.services import probes
from upstreams_app.services.discovery import import_models
from upstreams_app.services.model_lists import parse_model_list
from upstreams_app.services.request_head import request_headers
from upstreams_app.vendors import VENDORS

# Where a chat goes, and where health is asked for: written out, for the base paths differ.
URLS = {
    "cerebras": ("https://api.cerebras.ai/v1", "/models"),
    "deepinfra": ("https://api.deepinfra.com/v1/openai", "/models"),
    "deepseek": ("https://api.deepseek.com", "/models"),
    "fireworks": ("https://api.fireworks.ai/inference/v1", "/models"),
    "groq": ("https://api.groq.com/openai/v1", "/models"),
    "mistral": ("https://api.mistral.ai/v1", "/models"),
    "moonshot": ("https://api.moonshot.ai/v1", "/models"),
    "nvidia-nim": ("https://integrate.api.nvidia.com/v1", "/models"),
    "openrouter": ("https://openrouter.ai/api/v1", "/key"),
    "perplexity": ("https://api.perplexity.ai", "/async/chat/completions"),
    "sambanova": ("https://api.sambanova.ai/v1", "/models"),
    "together": ("https://api.together.xyz/v1", "/models"),
    "xai": ("https://api.x.ai/v1", "/models"),
}
each_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.id)


def config_of(name: str) -> UpstreamConfig:
    """An upstream as the relay has it."""
    config: UpstreamConfig = store.current.sections["upstreams"].value.upstreams[name]
    return config


@each_preset
def test_a_preset_fills_in_the_address(admin: Caller, preset: Preset) -> None:
    made = admin.ok("POST", "/upstreams", {"preset": preset.id, "api_key": VENDOR_SECRET})

    config = config_of(preset.id)
    assert (made["name"], made["kind"]) == (preset.id, "openai-compatible")
    assert config.endpoints == (URLS[preset.id][0],)
    assert request_headers(config)["Authorization"] == f"Bearer {VENDOR_SECRET}"


@each_preset
def test_litellms_prefix_finds_the_upstream_of_its_preset(
    admin: Caller, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(preset.key_variables[-1], VENDOR_SECRET)
    made = admin.ok(
        "POST", "/upstreams", {"preset": preset.id, "credential": f"env:{preset.key_variables[-1]}"}
    )

    shown = admin.ok("POST", "/model/new", body("mine", f"{preset.prefix}/some/model", api_base=None))

    assert shown["model_info"]["upstream"] == made["name"]
    assert shown["litellm_params"]["model"] == f"{preset.prefix}/some/model"


@each_preset
def test_health_is_asked_for_where_the_service_tells_it(
    db: None, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def get(config: UpstreamConfig, url: str, _own: object) -> probes.ModelsAnswer:
        asked.append(url)
        return probes.ModelsAnswer(200, b"", 1.0)

    monkeypatch.setattr(probes, "_get", get)
    row = Upstream(name="x", kind=preset.kind, base_url=preset.base_url, path_prefix=preset.path_prefix)

    probes.ask_for_health(row)

    assert asked == ["".join(URLS[preset.id])]
    assert preset_at(preset.kind, preset.base_url) is preset


def test_prices_are_found_under_the_presets_providers() -> None:
    from genai_prices.data_snapshot import get_snapshot

    known = {provider.id for provider in get_snapshot().providers}
    assert {preset.price_provider for preset in PRESETS.values() if preset.price_provider} <= known
    assert VENDORS["azure"].kind == "azure-openai"


def test_a_service_without_a_list_brings_its_models(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    async def get(_config: UpstreamConfig, _url: str, _own: object) -> probes.ModelsAnswer:
        return probes.ModelsAnswer(404, b"", 1.0, "it has none")

    monkeypatch.setattr(probes, "_get", get)
    admin.ok("POST", "/upstreams", {"preset": "perplexity", "api_key": VENDOR_SECRET})

    result = import_models(Upstream.objects.get())

    assert result.added == 4
    assert set(UpstreamModel.objects.values_list("name", flat=True)) == set(PRESETS["perplexity"].models)


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"preset": "no-such"}, "preset"),
        ({"preset": "groq", "kind": "openai"}, "kind"),
        ({"name": "x"}, "kind"),
        ({"kind": "ollama"}, "name"),
        ({"name": "x", "kind": "azure-openai"}, "base_url"),
        ({"name": "x", "kind": "ollama", "api_version": "2024-10-21"}, "api_version"),
        (
            {"name": "x", "kind": "azure-openai", "base_url": "https://a.example", "api_version": "x"},
            "api_version",
        ),
    ],
)
def test_a_wrong_preset_names_its_field(admin: Caller, sent: dict[str, str], param: str) -> None:
    assert admin.refused("POST", "/upstreams", sent)["param"] == param
    assert not Upstream.objects.exists()


@pytest.mark.parametrize("path", ["", "/", "/openai", "/openai/v1", "/openai/v1/"])
def test_azures_address_may_have_its_path(admin: Caller, path: str) -> None:
    name = {"name": "az", "kind": "azure-openai", "base_url": f"https://r.openai.azure.com{path}"}
    admin.ok("POST", "/upstreams", name)

    assert config_of("az").endpoints == ("https://r.openai.azure.com/openai/v1",)


@pytest.mark.parametrize("path", ["", "/", "/openai", "/openai/v1/"])
@pytest.mark.parametrize(
    ("version", "endpoint", "stored"),
    [
        (None, "/openai/v1", ""),
        ("v1", "/openai/v1", ""),
        ("preview", "/openai/v1", ""),
        ("2025-04-01-preview", "/openai", "2025-04-01-preview"),
    ],
)
def test_azure_deployments_come_with_litellms_parameters(
    admin: Caller, path: str, version: str | None, endpoint: str, stored: str
) -> None:
    base = f"https://r.openai.azure.com{path}"
    more = {} if version is None else {"api_version": version}

    first = admin.ok(
        "POST", "/model/new", body("a", "azure/one", api_base=base, api_key=VENDOR_SECRET, **more)
    )
    admin.ok("POST", "/model/new", body("b", "azure/two", api_base=base, api_key=VENDOR_SECRET, **more))

    row = Upstream.objects.get()
    config = config_of(row.name)
    assert first["litellm_params"]["model"] == "azure/one"
    assert (config.endpoints, config.api_version) == ((f"https://r.openai.azure.com{endpoint}",), stored)
    assert request_headers(config)["api-key"] == VENDOR_SECRET


def test_another_version_is_another_upstream_and_stays_with_other_changes(admin: Caller) -> None:
    base = {"api_base": "https://r.openai.azure.com", "api_key": VENDOR_SECRET}
    dated = admin.ok("POST", "/model/new", body("a", "azure/one", api_version="2024-10-21", **base))
    admin.ok("POST", "/model/new", body("b", "azure/one", **base))
    assert sorted(Upstream.objects.values_list("api_version", flat=True)) == ["", "2024-10-21"]

    path = f"/model/{dated['model_id']}/update"
    admin.ok("PATCH", path, {"litellm_params": {"model": "azure/other"}})

    assert Upstream.objects.get(models__name="other").api_version == "2024-10-21"
    refused = admin.refused("POST", "/model/new", body("c", "openai/x", api_version="2024-10-21"))
    assert refused["param"] == "litellm_params.api_version"


@pytest.mark.parametrize(
    ("version", "path"), [("", "/openai/v1/models"), ("2024-10-21", "/openai/models?api-version=2024-10-21")]
)
def test_azures_models_are_imported_and_its_health_is_there(admin: Caller, version: str, path: str) -> None:
    listed = {
        "data": [
            {"id": "gpt-4o", "capabilities": {"inference": True, "chat_completion": True}},
            {"id": "ada-002", "capabilities": {"inference": True, "embeddings": True}},
            {"id": "only-trained", "capabilities": {"inference": False, "fine_tune": True}},
        ]
    }
    with ModelServer({path: (200, listed)}) as server:
        sent = {"name": "az", "kind": "azure-openai", "base_url": server.url, "api_version": version}
        admin.ok("POST", "/upstreams", {**sent, "api_key": VENDOR_SECRET})
        admin.ok("POST", "/upstreams/az/import-models")
        admin.ok("POST", "/upstreams/az/probe")

    assert dict(UpstreamModel.objects.values_list("name", "mode")) == {
        "gpt-4o": "chat",
        "ada-002": "embedding",
    }
    assert HealthSample.objects.get().is_healthy
    assert {(seen.path, seen.headers["api-key"]) for seen in server.requests} == {(path, VENDOR_SECRET)}
    assert not any("authorization" in seen.headers for seen in server.requests)


def test_other_abilities_say_nothing_of_the_mode() -> None:
    value = [
        {"id": "mistral-embed", "capabilities": {"completion_chat": False}},
        {"id": "a", "capabilities": ["x"]},
    ]

    assert [item.mode for item in parse_model_list(json.dumps(value).encode())] == ["embedding", "chat"]
