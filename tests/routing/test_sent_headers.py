"""Upstreams get the headers of a route, and bodies as its templates make them; never a secret by that way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway_project.core.codec import split_object
from tests.routing.candidates import route, target
from tests.routing.routed import door_of, with_vendors
from tests.routing.shaky import ShakyVendor
from tests.routing.test_treatment import treatment
from upstreams_app.registry import ModelEntry
from upstreams_app.route_headers import check_sent_headers
from upstreams_app.route_templates import check_header_templates
from upstreams_app.route_treatment import check_body_templates

pytestmark = pytest.mark.django_db(transaction=True)


def treated_route(vendor: ShakyVendor, own: dict[str, str], **columns: Any) -> ModelEntry:
    """A route over one upstream with extra headers and a credential of its own."""
    only = target("a/m", vendor.url, headers=tuple(own.items()), credential="own-credential")
    entry = route(only, name="fast", strategy="weighted")
    return replace(entry, treatment=treatment(**columns))


@pytest.mark.parametrize("is_stream", [False, True])
def test_defaults_give_way_to_the_upstreams_own_and_overrides_do_not(*, is_stream: bool) -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        entry = treated_route(
            vendors[0],
            {"X-Own": "upstream", "X-Both": "upstream"},
            upstream_header_defaults={"x-own": "route", "x-title": "Support"},
            upstream_header_overrides={"x-both": "route", "user-agent": "support-desk"},
        )

        answer = await door_of(entry).ask("fast", stream=is_stream)

        sent = vendors[0].heads[-1]
        assert answer.status == 200
        assert {name: sent[name] for name in ("x-own", "x-title", "x-both", "user-agent")} == {
            "x-own": "upstream",
            "x-title": "Support",
            "x-both": "route",
            "user-agent": "support-desk",
        }
        assert sent["authorization"] == "Bearer own-credential"

    with_vendors(1, work)


@pytest.mark.parametrize("choices", [1, 2])
def test_vendors_of_other_formats_get_them_and_keep_what_their_format_needs(choices: int) -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        url, own = vendors[0].url, "own-credential"
        only = target("a/claude-sonnet-4-5", url, kind="anthropic", credential=own)
        treats = treatment(
            upstream_header_defaults={"x-title": "Support"},
            upstream_header_overrides={"anthropic-version": "1999-01-01"},
        )

        # What the vendor says is of another format.
        await door_of(replace(route(only, name="fast"), treatment=treats)).ask("fast", n=choices)

        for sent in list(vendors[0].heads)[:choices]:
            assert sent["x-title"] == "Support"
            assert sent["x-api-key"] == own
            assert sent["anthropic-version"] != "1999-01-01"

    with_vendors(1, work)


def test_templates_say_what_is_known_of_the_very_request() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        entry = treated_route(
            vendors[0],
            {},
            body_templates={
                "temperature": "has_tools ? 0.0 : 0.7",
                "metadata": "{'by': principal.user_id, 'zone': headers['x-route-zone']}",
            },
            upstream_header_templates={
                "x-token-count": "tokens",
                "x-end-user": "principal.end_user",
                "x-zone": "headers['x-route-zone']",
            },
        )
        door = door_of(entry)

        await door.ask("fast", user="ada")
        await door.ask("fast", user="a\r\nx-evil: 1", tools=[{"type": "function"}])

        first, second = vendors[0].heads
        assert int(first["x-token-count"]) > 0
        assert first["x-end-user"] == "ada"
        assert not {"x-zone", "x-evil"} & (first.keys() | second.keys())
        assert "x-end-user" not in second
        assert [body["temperature"] for body in vendors[0].bodies] == [0.7, 0.0]
        assert not any("metadata" in body for body in vendors[0].bodies)

    with_vendors(1, work)


def test_what_a_template_gives_overrides_and_nothing_leaves_all_as_it_is() -> None:
    treats = treatment(
        overrides={"seed": 1},
        body_templates={"seed": "hour", "top_p": "headers['x-none'] == 'a'", "store": "stream"},
    )

    resolved = treats.resolved(lambda names: {"hour": 9, "stream": False, "headers": {}})

    fields = resolved.apply(split_object(b'{"top_p":0.5}'))
    assert {name: bytes(value) for name, value in fields.items()} == {
        "seed": b"9",
        "top_p": b"0.5",
        "store": b"false",
    }
    assert resolved.resolved(lambda names: {}) is resolved


@pytest.mark.parametrize(
    "name",
    [
        *("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "host"),
        *("content-length", "content-type", "transfer-encoding", "connection", "x-amz-date", "x-auth-token"),
        *("ocp-apim-subscription-key", "x-client-secret", "X-Title", "x title", "", "accept-encoding"),
    ],
)
def test_headers_that_are_not_a_routes_to_set_are_refused(name: str) -> None:
    for check, value in ((check_sent_headers, "plain"), (check_header_templates, "'plain'")):
        with pytest.raises(ValueError, match=r"\w"):
            check({name: value})


@pytest.mark.parametrize(
    "value", ["sk-ant-0123456789abcdefghij", "Bearer abc", "a\r\nx-evil: 1", "ü", " a", "", 7, "x" * 501]
)
def test_values_that_are_secrets_or_no_values_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="x-title"):
        check_sent_headers({"x-title": value})


@pytest.mark.parametrize(
    ("check", "templates"),
    [
        (check_body_templates, {"model": "'other'"}),
        (check_body_templates, {"seed": "nobody.knows"}),
        (check_body_templates, {"seed": "now"}),
        (check_body_templates, {"seed": 7}),
        (check_header_templates, {"x-team": "principal"}),
        (check_header_templates, {f"x-{number}": "hour" for number in range(17)}),
    ],
)
def test_templates_that_give_nothing_to_send_are_refused(check: Any, templates: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check(templates)
