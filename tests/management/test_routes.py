"""How a route chooses is managed over HTTP, and nonsense is refused by the field's name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from security_app.services.configuration import store
from tests.management.caller import Caller
from upstreams_app.models import Route, RouteTarget, Upstream, UpstreamModel

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def routes() -> None:
    """Three routes over the demo; the name of one holds a slash."""
    upstream = Upstream.objects.create(name="lab", kind="demo")
    model = UpstreamModel.objects.create(upstream=upstream, name="small")
    for name in ("fast", "slow", "team/long"):
        RouteTarget.objects.create(route=Route.objects.create(name=name), model=model)


def test_a_route_is_shown_with_its_targets_and_defaults(admin: Caller) -> None:
    shown = admin.ok("GET", "/routes/team/long")

    assert [route["name"] for route in admin.ok("GET", "/routes")["data"]] == ["fast", "slow", "team/long"]
    assert shown == {
        "name": "team/long",
        "description": "",
        "is_enabled": True,
        "strategy": "weighted",
        "affinity": "none",
        "max_attempts": 3,
        "deadline_s": None,
        "retry_policy": {},
        "fallbacks": {},
        "hedge_after_ms": None,
        "hedges_at_p95": False,
        "hedge_percent": 5,
        "hedge_condition": "",
        "aliases": [],
        "body_defaults": {},
        "body_overrides": {},
        "body_templates": {},
        "prompt_prepend": [],
        "prompt_append": [],
        "upstream_header_defaults": {},
        "upstream_header_overrides": {},
        "upstream_header_templates": {},
        "response_headers": {},
        "is_in_maintenance": False,
        "maintenance_message": "",
        "maintenance_answer": "",
        "targets": [
            {
                "model": "lab/small",
                "priority": 1,
                "weight": 1,
                "is_enabled": True,
                "condition": "",
                "tags": [],
            }
        ],
    }


def test_a_change_reaches_the_request_path(admin: Caller) -> None:
    body = {
        "strategy": "latency-based-routing",
        "affinity": "session",
        "max_attempts": 5,
        "deadline_s": 90.5,
        "retry_policy": {"timeout": 1},
        "fallbacks": {"general": ["slow"], "budget": ["team/long"]},
        "upstream_header_defaults": {"x-title": "Support"},
        "upstream_header_templates": {"x-tenant": "principal.team_id"},
    }

    changed = admin.ok("PATCH", "/routes/fast", body)

    assert changed == admin.ok("GET", "/routes/fast")
    assert changed["strategy"] == "latency"
    treatment = store.current.sections["upstreams"].value.models["fast"].treatment
    assert (treatment.sent_headers.defaults, treatment.templates.reads) == (
        {"x-title": "Support"},
        {"principal"},
    )
    policy = store.current.sections["upstreams"].value.models["fast"].policy
    assert (policy.strategy, policy.affinity, policy.deadline_s) == ("latency", "session", 90.5)
    assert policy.fallbacks == {"general": ("slow",), "budget": ("team/long",)}
    assert admin.ok("PATCH", "/routes/fast", {"deadline_s": None})["deadline_s"] is None


def test_a_second_call_is_switched_on_and_off(admin: Caller) -> None:
    body = {"hedge_after_ms": 800, "hedges_at_p95": True, "hedge_percent": 10, "hedge_condition": "stream"}

    changed = admin.ok("PATCH", "/routes/fast", body)

    assert {name: changed[name] for name in body} == body
    hedge = store.current.sections["upstreams"].value.models["fast"].policy.hedge
    assert (hedge.after_s, hedge.at_p95, hedge.share) == (0.8, True, 0.1)
    assert hedge.condition.is_true({"stream": True})
    assert admin.ok("PATCH", "/routes/fast", {"hedge_after_ms": None})["hedge_after_ms"] is None
    assert store.current.sections["upstreams"].value.models["fast"].policy.hedge is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"strategy": "best"}, "strategy"),
        ({"affinity": "moon"}, "affinity"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"deadline_s": -1}, "deadline_s"),
        ({"retry_policy": {"rain": 1}}, "retry_policy"),
        ({"retry_policy": {"timeout": -1}}, "retry_policy"),
        ({"fallbacks": {"general": ["a", "a"]}}, "fallbacks"),
        ({"fallbacks": {"general": ["fast"]}}, "fallbacks"),
        ({"colour": "red"}, "colour"),
        ({"hedge_after_ms": 9}, "hedge_after_ms"),
        ({"hedge_percent": 51}, "hedge_percent"),
        ({"hedge_condition": "tokens >"}, "hedge_condition"),
        ({"aliases": ["slow"]}, "aliases"),
        ({"body_overrides": {"model": "x"}}, "body_overrides"),
        ({"prompt_prepend": [{"role": "tool", "content": "x"}]}, "prompt_prepend"),
        ({"response_headers": {"set-cookie": "x"}}, "response_headers"),
        ({"body_templates": {"seed": "nobody"}}, "body_templates"),
        ({"upstream_header_defaults": {"authorization": "x"}}, "upstream_header_defaults"),
        ({"upstream_header_overrides": {"x-api-key": "x"}}, "upstream_header_overrides"),
        ({"upstream_header_templates": {"x-title": "now"}}, "upstream_header_templates"),
        ({"aliases": ["lab/small"]}, "aliases"),
        ({"aliases": [" x"]}, "aliases"),
        ({"targets": [{"model": "lab/none"}]}, "targets.0.model"),
        ({"targets": [{"model": "lab/small"}, {"model": "lab/small"}]}, "targets.1.model"),
        ({"targets": [{"model": "lab/small", "condition": "tokens >"}]}, "targets.0.condition"),
        ({"targets": [{"model": "lab/small", "tags": ["a,b"]}]}, "targets.0.tags"),
    ],
)
def test_nonsense_is_refused_by_name(admin: Caller, body: dict[str, Any], param: str) -> None:
    refused = admin.request("PATCH", "/routes/fast", body)

    assert refused.status_code == 400
    assert json.loads(refused.content)["error"]["param"].startswith(param)
    assert Route.objects.get(name="fast").fallbacks == {}


def test_fallbacks_that_lead_back_are_refused(admin: Caller) -> None:
    admin.ok("PATCH", "/routes/fast", {"fallbacks": {"general": ["slow"]}})
    admin.ok("PATCH", "/routes/slow", {"fallbacks": {"context_window": ["team/long"]}})

    refused = admin.request("PATCH", "/routes/team/long", {"fallbacks": {"budget": ["fast"]}})

    assert refused.status_code == 400
    assert "team/long → fast → slow → team/long" in json.loads(refused.content)["error"]["message"]


def test_only_administrators_see_and_change_routes(traffic: Caller) -> None:
    assert traffic.request("GET", "/routes").status_code == 403
    assert traffic.request("PATCH", "/routes/fast", {"max_attempts": 1}).status_code == 403


def test_there_is_no_route_of_that_name(admin: Caller) -> None:
    assert admin.request("GET", "/routes/none").status_code == 404


def test_targets_and_aliases_are_replaced_as_a_whole(admin: Caller) -> None:
    large = UpstreamModel.objects.create(upstream=Upstream.objects.get(), name="large")
    target = {"model": str(large), "priority": 1, "weight": 2, "is_enabled": True}
    special = {**target, "condition": "tokens > 8000", "tags": ["eu"]}

    changed = admin.ok("PATCH", "/routes/fast", {"targets": [special], "aliases": ["gpt-4", "team/quick"]})

    assert changed["targets"] == [special]
    config = store.current.sections["upstreams"].value
    assert config.aliases["gpt-4"] is config.aliases["team/quick"] is config.models["fast"]
    assert config.models["fast"].reads == {"tokens"}
    assert admin.refused("PATCH", "/routes/slow", {"aliases": ["gpt-4"]})["param"] == "aliases"
