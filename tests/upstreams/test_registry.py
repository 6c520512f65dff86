"""A row that can't be used is left out and shown; it never keeps the others from being loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db.models import JSONField, Value

from upstreams_app.models import Route, RouteTarget, Upstream, UpstreamModel
from upstreams_app.registry import UpstreamsConfig, build, read_reference

pytestmark = pytest.mark.django_db


def upstream(name: str) -> UpstreamModel:
    """A model behind an upstream of its own."""
    row = Upstream.objects.create(name=name, kind="vllm", base_url="http://127.0.0.1:9")
    return UpstreamModel.objects.create(upstream=row, name="m")


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "no such kind"},
        {"headers": ["X-Team"]},
        {"headers": {"X-Team": {"a": 1}}},
        {"headers": {"X-Team": None}},
        {"extra_endpoints": 7},
        {"extra_endpoints": [{"a": 1}]},
        {"extra_endpoints": [None]},
        {"base_url": "http://["},
        {"ca_bundle": "/no/such/file"},
        {"credential_source": "stored", "api_key_sealed": "sealed by nobody"},
        {"credential_source": "reference", "credential_reference": "file:"},
        {"credential_source": "reference", "credential_reference": "file:/proc/self/environ"},
        {"credential_source": "reference", "credential_reference": "file:/dev/zero"},
        {"credential_source": "reference", "credential_reference": "env:PATH"},
    ],
)
def test_an_upstream_that_can_not_be_used_is_left_out_with_its_models(broken: dict[str, Any]) -> None:
    good, bad = upstream("good"), upstream("bad")
    for name, models in (("both", [good, bad]), ("lost", [bad])):
        route = Route.objects.create(name=name)
        for model in models:
            RouteTarget.objects.create(route=route, model=model)
    Upstream.objects.filter(name="bad").update(**broken)

    section = build(None, 1, {})

    config: UpstreamsConfig = section.value
    assert list(config.models) == ["both", "good/m"]
    assert [target.model_id for target in config.models["both"].targets] == ["good/m"]
    assert [(item.section, item.object) for item in section.diagnostics] == [
        ("upstreams", "upstream bad"),
        ("upstreams", "route lost"),
    ]
    assert all(item.message for item in section.diagnostics)


@pytest.mark.parametrize("aliases", [None, 7, [None], [{"a": 1}], [["a"]], ["a", "a"]])
def test_a_route_whose_other_names_make_no_sense_is_left_out(aliases: Any) -> None:
    model = upstream("good")
    for name in ("bad", "fine"):
        RouteTarget.objects.create(route=Route.objects.create(name=name, aliases=["a"]), model=model)
    # The JSON null, as the column takes no other.
    Route.objects.filter(name="bad").update(aliases=Value(aliases, JSONField()))

    section = build(None, 1, {})

    config: UpstreamsConfig = section.value
    assert list(config.models) == ["fine", "good/m"]
    assert config.aliases["a"].id == "fine"
    assert [item.object for item in section.diagnostics] == ["route bad"]


def test_a_link_that_leads_to_the_gateways_own_secrets_later_is_not_read(tmp_path: Path) -> None:
    key, link = tmp_path / "key", tmp_path / "link"
    key.write_text("sk-vendor\n")
    link.symlink_to(key)
    assert read_reference(f"file:{link}") == "sk-vendor"
    secrets = settings.GATEWAY_DATA_DIR / "secrets.env"
    secrets.write_text("GATEWAY_SECRET_KEY=x")

    link.unlink()
    link.symlink_to(secrets)

    with pytest.raises(ValueError, match="own data"):
        read_reference(f"file:{link}")
