"""An upstream of the kind anthropic: its options, its key, its list of models, its health."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from gateway_project.core.errors import UpstreamFailed
from tests.providers.fake_anthropic import MODELS, FakeAnthropic
from upstreams_app.kinds import KINDS
from upstreams_app.models import Upstream, UpstreamModel
from upstreams_app.providers import provider_of
from upstreams_app.providers.wire import Site, WireRequest
from upstreams_app.services.discovery import import_models
from upstreams_app.services.probe_rounds import probe_upstream
from upstreams_app.vendors import parse_model, prefix_of


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeAnthropic]:
    """Anthropic."""
    with FakeAnthropic() as running:
        yield running


def upstream(vendor: FakeAnthropic | None, key: str = "sk-ant-api03-x", **fields: Any) -> Upstream:
    """An upstream of the kind, in the database."""
    address = vendor.url if vendor is not None else "http://127.0.0.1:1"
    row = Upstream(name="claude", kind="anthropic", base_url=address, path_prefix="/v1", **fields)
    if key:
        row.set_api_key(key)
    row.full_clean()
    row.save()
    return row


async def proof(key: str, credential: str = "", **headers: str) -> Any:
    """The headers that prove a call."""
    provider = provider_of("anthropic")
    assert provider is not None
    authority = provider.authority(Site({}, key))
    return await authority.headers(WireRequest("/messages", b"", headers), "https://example.com", credential)


@pytest.mark.django_db
def test_models_are_imported_page_by_page(vendor: FakeAnthropic) -> None:
    vendor.requests.clear()
    row = upstream(vendor, options={"betas": ["context-1m-2025-08-07"]})

    result = import_models(row)

    model = UpstreamModel.objects.get(name=MODELS[0])
    assert result.added == len(MODELS)
    assert (model.mode, model.context_window, model.max_output_tokens) == ("chat", 1_000_000, 128_000)
    assert model.description == "Claude-Fake-1"
    assert [request.target for request in vendor.requests] == [
        "/v1/models?limit=1000",
        "/v1/models?limit=1000&after_id=claude-fake-1",
        "/v1/models?limit=1000&after_id=claude-fake-2",
    ]
    assert vendor.requests[0].header("anthropic-version") == "2026-10-21"
    assert vendor.requests[0].header("anthropic-beta") == "context-1m-2025-08-07"


@pytest.mark.django_db
def test_a_probe_tells_a_good_key_from_none(vendor: FakeAnthropic) -> None:
    row = upstream(vendor)

    good = probe_upstream(row)
    row.set_api_key("")
    bad = probe_upstream(row)

    assert good is not None
    assert (good.is_healthy, good.status_code) == (True, 200)
    assert bad is not None
    assert (bad.is_healthy, bad.error) == (False, "the credential was refused (401)")


@pytest.mark.django_db
def test_without_a_list_the_import_says_why() -> None:
    with pytest.raises(UpstreamFailed, match="claude"):
        import_models(upstream(None))


def test_retired_models_are_not_listed_and_odd_lists_are_none() -> None:
    provider = provider_of("anthropic")
    assert provider is not None
    item = b'{"id": "a", "lifecycle": "%b", "max_input_tokens": null}'

    page = provider.read_models(b'{"data": [%b, %b]}' % (item % b"active", item % b"retired"))

    assert [model.name for model in page.models] == ["a"]
    assert page.cursor == ""
    with pytest.raises((KeyError, TypeError, ValueError)):
        provider.read_models(b"[]")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"region": "eu"}, "region"),
        ({"version": "new"}, "version"),
        ({"version": 20230601}, "version"),
        ({"betas": "a"}, "betas"),
        ({"betas": ["a\r\nx: y"]}, "betas"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"sampling": "drop"}, "sampling"),
    ],
)
def test_wrong_options_are_told_in_words(options: dict[str, Any], word: str) -> None:
    row = Upstream(kind="anthropic", base_url="https://api.anthropic.com", options=options)

    with pytest.raises(ValidationError) as caught:
        row.clean()

    assert word in caught.value.message_dict["options"][0]


async def test_keys_and_tokens_have_headers_of_their_own() -> None:
    beta = "oauth-2025-04-20"

    assert await proof("sk-ant-api03-x") == {"x-api-key": "sk-ant-api03-x"}
    assert await proof("sk-ant-api03-x", "mine") == {"x-api-key": "mine"}
    assert await proof("eyJhbGciOi.x.y") == {"authorization": "Bearer eyJhbGciOi.x.y"}
    assert await proof("sk-ant-oat01-x") == {"authorization": "Bearer sk-ant-oat01-x", "anthropic-beta": beta}
    merged = await proof("sk-ant-oat01-x", **{"anthropic-beta": "a,b"})
    assert merged["anthropic-beta"] == f"a,b,{beta}"
    assert await proof("") == {}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_shown_under_a_prefix_of_litellms(kind: str) -> None:
    assert prefix_of(kind, "")


def test_litellms_prefix_means_this_kind() -> None:
    parsed = parse_model("anthropic/claude-opus-5-5")

    assert (parsed.vendor.kind, parsed.model) == ("anthropic", "claude-opus-5-5")
    assert parsed.vendor.base_url == "https://api.anthropic.com"
