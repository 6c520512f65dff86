"""A dry run tells which targets a request would get and why, in the admin and over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from security_app.services.configuration import store
from security_app.services.keys import create_key
from tests.management.caller import Caller
from upstreams_app.models import Route, RouteTarget, Upstream, UpstreamModel
from upstreams_app.services.client import ClientPool
from upstreams_app.services.facts_exchange import facts_exchange
from usage_app.models import UsageRecord

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/simulator/"


@pytest.fixture(autouse=True)
def routes() -> None:
    """A route over three models of a lab, with fallbacks that lead on, to nothing, and twice to the same."""
    lab = Upstream.objects.create(name="lab", kind="demo")
    large, small, spare = (UpstreamModel.objects.create(upstream=lab, name=name) for name in ("l", "s", "x"))
    fast = Route.objects.create(
        name="fast", aliases=["gpt-4"], fallbacks={"general": ["other", "gone"], "budget": ["other"]}
    )
    RouteTarget.objects.create(route=fast, model=large, condition="tokens > 1000 || has_tools")
    RouteTarget.objects.create(route=fast, model=small, priority=2)
    RouteTarget.objects.create(route=fast, model=spare, priority=3, tags=["spare"])
    other = Route.objects.create(name="other", fallbacks={"general": ["lab/x"]})
    RouteTarget.objects.create(route=other, model=small)


def ask(admin: Caller, **fields: Any) -> Any:
    return admin.ok("POST", "/router/route", {"model": "fast", **fields})


def outcomes(answer: Any) -> dict[str, str]:
    return {target["model_id"]: target["outcome"] for target in answer["targets"]}


def test_it_decides_as_for_a_request_and_says_why(admin: Caller) -> None:
    plain, tools = ask(admin), ask(admin, model="gpt-4", request={"tools": [{}]})

    assert plain["selected_model"] == "lab/s"
    assert outcomes(plain) == {"lab/s": "first", "lab/l": "passed over", "lab/x": "passed over"}
    reasons = {target["model_id"]: target["reason"] for target in plain["targets"]}
    assert reasons["lab/l"] == "its condition does not hold: tokens > 1000 || has_tools"
    assert reasons["lab/x"] == "its tags are spare"
    assert (tools["model_id"], tools["selected_model"]) == ("fast", "lab/l")
    assert [target["place"] for target in tools["targets"]] == [1, 2, None]
    assert ask(admin, tags=["spare"])["selected_model"] == "lab/x"
    assert not UsageRecord.objects.exists()


def test_it_says_what_becomes_of_a_request_that_takes_long(admin: Caller, admin_client: Client) -> None:
    assert ask(admin)["hedge"] == ""

    Route.objects.filter(name="fast").update(hedge_after_ms=800, hedge_condition="!has_tools")
    RouteTarget.objects.filter(model__name="x").update(tags=[])
    store.refresh()

    after = "lab/x is asked, too, after 800 ms, for 5 % of the requests at most"
    assert ask(admin)["hedge"] == after
    assert after in admin_client.post(PAGE, {"model": "fast"}).content.decode()
    assert ask(admin, request={"tools": [{}]})["hedge"].endswith("does not hold: !has_tools")
    Route.objects.filter(name="fast").update(hedges_at_p95=True, hedge_condition="")
    RouteTarget.objects.filter(model__name="l").delete()
    store.refresh()
    assert "once it is known" in ask(admin)["hedge"]
    RouteTarget.objects.filter(model__name="x").delete()
    store.refresh()
    assert ask(admin)["hedge"].startswith("no second call: no other target")


def test_conditions_are_asked_about_what_the_route_makes_of_a_request(admin: Caller) -> None:
    admin.ok("PATCH", "/routes/fast", {"prompt_append": [{"role": "user", "content": "word " * 2000}]})
    long = ask(admin, request={"messages": []})
    admin.ok("PATCH", "/routes/fast", {"prompt_append": [], "body_templates": {"tools": "[{'a': 'b'}]"}})

    assert long["selected_model"] == "lab/l"
    assert ask(admin, request={"messages": []})["selected_model"] == "lab/l"


def test_what_is_known_of_targets_counts(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    store.refresh()
    clients = ClientPool()
    monkeypatch.setattr(facts_exchange, "clients", clients)
    target = store.current.sections["upstreams"].value.models["fast"].targets[1]
    facts = clients.tracker.facts(target)
    facts.is_open, facts.barred_until, facts.why_barred = True, 1e12, "timeout"

    answer = ask(admin)

    assert answer["targets"][0]["outcome"] == "last resort"
    assert answer["targets"][0]["reason"].startswith("its breaker is open (timeout)")
    assert [each.model_id for each in clients.tracker.known()] == ["lab/s"]


def test_fallbacks_are_a_tree_without_circles(admin: Caller) -> None:
    general, gone, budget = ask(admin)["fallbacks"]

    assert (general["kind"], general["model_id"], general["problem"]) == ("general", "other", "")
    assert [node["model_id"] for node in general["following"]] == ["lab/x"]
    assert gone["problem"] == "there is no such model"
    assert (budget["kind"], budget["problem"]) == ("budget", "it was asked before")


def test_who_may_not_use_the_route_is_told_so(admin: Caller) -> None:
    key = create_key(name="narrow", allowed_models=["other"], scopes=["inference"], actor="test").row

    answer = ask(admin, key=key.public_id)

    assert answer["selected_model"] is None
    assert answer["refusal"]
    assert ask(admin, key="narrow")["refusal"] == answer["refusal"]


def test_a_route_in_maintenance_selects_nothing(admin: Caller) -> None:
    admin.ok("PATCH", "/routes/fast", {"is_in_maintenance": True})

    assert ask(admin)["refusal"] == "the route is in maintenance"
    assert ask(admin)["selected_model"] is None


def test_decimal_numbers_of_requests_and_routes_are_plain_numbers(admin: Caller) -> None:
    treated = admin.ok("PATCH", "/routes/fast", {"body_defaults": {"temperature": 0.2}})

    assert treated["body_defaults"] == {"temperature": 0.2}
    assert admin.ok("GET", "/routes/fast")["body_defaults"] == {"temperature": 0.2}
    assert ask(admin, request={"messages": [], "temperature": 0.7})["selected_model"] == "lab/s"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "none"}, "model"),
        ({"key": "nobody"}, "key"),
        ({"key": "sk-gw-secret"}, "key"),
        ({"operation": "song"}, "operation"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_nonsense_is_refused_by_name(admin: Caller, fields: dict[str, Any], param: str) -> None:
    assert admin.refused("POST", "/router/route", {"model": "fast", **fields})["param"] == param


def test_the_page_shows_the_same(admin_client: Client) -> None:
    form = {"model": "fast", "operation": "chat", "headers": "x-session-id: s1", "request": '{"tools": [{}]}'}

    page = admin_client.post(PAGE, form).content.decode()
    refused = admin_client.post(PAGE, {**form, "request": "{", "headers": "nonsense"}).content.decode()
    change = admin_client.get(f"/admin/upstreams_app/route/{Route.objects.get(name='fast').pk}/change/")

    assert "fast would ask lab/l first" in page
    assert "its tags are spare" in page
    assert "never asked: there is no such model" in page
    assert "This is no JSON" in refused
    assert "Write each header as name: value." in refused
    assert "/admin/simulator/?model=fast" in change.content.decode()
    assert "gw-tree-node" in change.content.decode()
