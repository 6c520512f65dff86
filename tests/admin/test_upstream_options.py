"""The options of a kind in the form of an upstream: fields of their own, errors at them, and the address."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.admin.rows import SECRET
from tests.admin.upstream_forms import ADD, change_path, errors_of, filled_form
from upstreams_app.admin.option_fields import field_name
from upstreams_app.kinds import KINDS
from upstreams_app.models import Upstream

EU = "https://bedrock-runtime.eu-central-1.amazonaws.com"
KEY_FILE = json.dumps({"type": "service_account", "project_id": "acme", "private_key": "a\nb"}, indent=2)


def bedrock(**changes: Any) -> dict[str, Any]:
    """A form for an upstream on Bedrock, without an address."""
    usual = {"kind": "bedrock", "base_url": "", "option_bedrock_region": "eu-central-1"}
    return filled_form(**{**usual, **changes})


@pytest.mark.parametrize(
    ("kind", "entered", "options", "address"),
    [
        ("anthropic", {}, {}, "https://api.anthropic.com/v1"),
        (
            "anthropic",
            {"betas": "a-1\nb-2", "max_tokens": "4096", "sampling": "ignore", "version": "2023-06-01"},
            {"betas": ["a-1", "b-2"], "max_tokens": 4096, "sampling": "ignore", "version": "2023-06-01"},
            "https://api.anthropic.com/v1",
        ),
        ("gemini", {}, {}, "https://generativelanguage.googleapis.com/v1beta"),
        (
            "vertex",
            {"project": "acme-1", "location": "europe-west4"},
            {"project": "acme-1", "location": "europe-west4"},
            "https://europe-west4-aiplatform.googleapis.com/v1beta1",
        ),
        ("vertex", {"project": "acme-1"}, {"project": "acme-1"}, "https://aiplatform.googleapis.com/v1beta1"),
        (
            "bedrock",
            {"region": "eu-central-1", "structured_outputs": "false"},
            {"region": "eu-central-1", "structured_outputs": False},
            EU,
        ),
    ],
)
def test_fields_become_options_and_the_address(
    admin_client: Client, kind: str, entered: dict[str, str], options: dict[str, Any], address: str
) -> None:
    fields = {f"option_{kind}_{name}": value for name, value in entered.items()}

    answer = admin_client.post(ADD, filled_form(kind=kind, base_url="", **fields))

    row = Upstream.objects.get()
    assert answer.status_code == 302
    assert row.options == options
    assert row.base_url + row.path_prefix == address


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"option_bedrock_region": ""}, "option_bedrock_region"),
        ({"option_bedrock_region": "here"}, "option_bedrock_region"),
        ({"option_bedrock_external_id": "x7"}, "option_bedrock_external_id"),
        ({"kind": "anthropic", "option_anthropic_max_tokens": "0"}, "option_anthropic_max_tokens"),
        ({"kind": "anthropic", "option_anthropic_betas": "a b"}, "option_anthropic_betas"),
        ({"kind": "anthropic", "option_anthropic_sampling": "maybe"}, "option_anthropic_sampling"),
        ({"kind": "vertex", "option_vertex_project": "a/b"}, "option_vertex_project"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(
    admin_client: Client, changes: dict[str, str], field: str
) -> None:
    answer = admin_client.post(ADD, bedrock(**changes))

    assert field in errors_of(answer)
    assert "options" not in errors_of(answer)
    assert not Upstream.objects.exists()


def test_fields_of_other_kinds_do_not_count(admin_client: Client) -> None:
    others = {"option_anthropic_max_tokens": "many", "option_vertex_project": "a/b"}

    admin_client.post(ADD, bedrock(**others))

    assert Upstream.objects.get().options == {"region": "eu-central-1"}


def test_an_address_of_ones_own_needs_no_region(admin_client: Client) -> None:
    admin_client.post(ADD, bedrock(base_url="https://models.example", option_bedrock_region=""))

    row = Upstream.objects.get()
    assert (row.base_url, row.options) == ("https://models.example", {})


def test_what_is_stored_is_shown_and_can_be_emptied(admin_client: Client) -> None:
    row = Upstream.objects.create(
        name="vendor", kind="bedrock", base_url=EU, options={"region": "eu-central-1", "profile": "p"}
    )

    form = admin_client.get(change_path(row)).context["adminform"].form
    admin_client.post(change_path(row), bedrock(base_url=EU, path_prefix=""))

    assert form.initial["option_bedrock_profile"] == "p"
    row.refresh_from_db()
    assert row.options == {"region": "eu-central-1"}


def test_an_address_that_the_region_made_follows_it(admin_client: Client) -> None:
    row = Upstream.objects.create(
        name="vendor", kind="bedrock", base_url=EU, options={"region": "eu-central-1"}
    )

    admin_client.post(
        change_path(row), bedrock(base_url=EU, path_prefix="", option_bedrock_region="us-east-1")
    )

    row.refresh_from_db()
    assert row.options == {"region": "us-east-1"}
    assert row.base_url == "https://bedrock-runtime.us-east-1.amazonaws.com"


def test_a_stored_key_is_asked_for_again_where_the_region_moves_the_host(admin_client: Client) -> None:
    row = Upstream(name="vendor", kind="bedrock", base_url=EU, options={"region": "eu-central-1"})
    row.set_api_key("AKIAEXAMPLE000000001:secret")
    row.save()
    moved = bedrock(
        base_url=EU, path_prefix="", option_bedrock_region="us-east-1", credential_source="stored"
    )

    answer = admin_client.post(change_path(row), moved)

    assert set(errors_of(answer)) == {"api_key"}
    row.refresh_from_db()
    assert row.base_url == EU


def test_another_kind_leaves_no_options_behind(admin_client: Client) -> None:
    row = Upstream.objects.create(
        name="vendor", kind="bedrock", base_url=EU, options={"region": "eu-central-1"}
    )

    admin_client.post(
        change_path(row),
        bedrock(kind="openai-compatible", base_url="https://vendor.example", path_prefix="/v1"),
    )

    row.refresh_from_db()
    assert (row.kind, row.options) == ("openai-compatible", {})


def test_a_key_file_of_many_lines_is_one_credential(admin_client: Client) -> None:
    filled = filled_form(kind="vertex", base_url="", api_key=KEY_FILE, credential_source="stored")

    admin_client.post(ADD, filled)

    assert json.loads(Upstream.objects.get().get_api_key()) == json.loads(KEY_FILE)


def test_a_credential_never_comes_back(admin_client: Client) -> None:
    answer = admin_client.post(ADD, bedrock(option_bedrock_region="here", api_key=SECRET))

    assert "option_bedrock_region" in errors_of(answer)
    assert SECRET not in answer.content.decode()


def test_the_page_has_a_group_of_fields_for_each_kind_with_options(admin_client: Client) -> None:
    answer = admin_client.get(ADD)

    page = answer.content.decode()
    for kind in KINDS.values():
        has_group = re.search(rf"gw-kind-{kind.id}(?![\w-])", page) is not None
        assert has_group == bool(kind.options)
        for option in kind.options:
            assert f'name="{field_name(kind.id, option.name)}"' in page
    told = json.loads(answer.context["adminform"].form.fields["kind"].widget.attrs["data-kinds"])
    assert told["gemini"]["reference"] == "env:GEMINI_API_KEY"
    assert "JSON" in told["vertex"]["credential"]
    assert [kind for kind, hint in told.items() if hint["follows"]] == ["vertex", "bedrock"]


def test_who_may_only_look_sees_the_options(client: Client, db: None) -> None:
    row = Upstream.objects.create(
        name="vendor", kind="bedrock", base_url=EU, options={"region": "eu-central-1"}
    )
    viewer = User.objects.create_user("viewer", password="password", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_upstream"))
    client.force_login(viewer)

    answer = client.get(change_path(row))

    assert answer.status_code == 200
    assert "eu-central-1" in answer.content.decode()
    assert "option_bedrock_region" not in answer.content.decode()
