"""A request of the ledger is decided again, beside what was decided then, for those who may see it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from gateway_project.core.ids import uuid7, uuid7_time
from security_app.models import Team
from security_app.services.keys import create_key
from tests.management.caller import Caller
from upstreams_app.models import Route, RouteTarget, Upstream, UpstreamModel
from usage_app.models import UsageRecord

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/simulator/"
THEN = {
    "route": "fast",
    "strategy": "latency",
    "candidates": ["lab/s", "lab/gone"],
    "scores": [410.0],
    "failed": [{"target": "lab/gone", "fault": "timeout", "status": 504, "ms": 900}],
    "passed_over": {"lab/l": "condition"},
}


@pytest.fixture(autouse=True)
def fast() -> Route:
    """A route by session, whose first target is for requests with tools."""
    lab = Upstream.objects.create(name="lab", kind="demo")
    large, small = (UpstreamModel.objects.create(upstream=lab, name=name) for name in ("l", "s"))
    route = Route.objects.create(name="fast", affinity="session")
    RouteTarget.objects.create(route=route, model=large, condition="has_tools || hour > 23")
    RouteTarget.objects.create(route=route, model=small, priority=2)
    return route


def record(**fields: Any) -> UsageRecord:
    identifier = uuid7()
    given = {
        "at": uuid7_time(identifier),
        "operation": "chat",
        "model": "fast",
        "route": "fast",
        "upstream": "lab",
        "upstream_model": "s",
        "status": 200,
        "state": "reported",
        "decision": THEN,
        "is_stream": True,
    }
    return UsageRecord.objects.create(id=identifier, **{**given, **fields})


def compared(admin: Caller, kept: UsageRecord) -> Any:
    return admin.ok("POST", "/router/route", {"request_id": kept.request_id})


def test_then_and_now_stand_side_by_side_with_what_nobody_knows(admin: Caller) -> None:
    key = create_key(name="billing", allowed_models=["*"], scopes=["inference"], actor="test").row
    kept = record(key_id=key.pk, key_name="billing", tags=["eu"])

    answer = compared(admin, kept)

    comparison = answer["comparison"]
    assert answer["selected_model"] == "lab/s"
    assert comparison["verdict"] == "The same target would be asked first: lab/s."
    assert comparison["recorded"]["request_id"] == kept.request_id
    assert {row["model_id"]: (row["then"], row["now"]) for row in comparison["targets"]} == {
        "lab/s": ("1. to try (score 410), answered", "1. the only one"),
        "lab/l": (
            "passed over: condition",
            "passed over: its condition does not hold: has_tools || hour > 23",
        ),
        "lab/gone": ("2. to try, failed: timeout, 900 ms", "no target any more"),
    }
    assert [words.partition(",")[0].partition(":")[0] for words in comparison["unknown"]] == [
        "whether it brought tools",
        "the hour of then",
        "its session",
    ]


def test_another_target_is_named_and_a_key_that_is_gone_is_told(admin: Caller) -> None:
    answer = compared(admin, record(key_id=uuid7(), upstream_model="l", decision=None))

    comparison = answer["comparison"]
    assert comparison["verdict"] == "lab/s would be asked first now; lab/l was asked last then."
    assert "its key, which is none of the keys of today: any key is meant instead" in comparison["unknown"]
    assert comparison["recorded"]["note"] == "There was nothing to choose, and nothing failed."


def test_who_may_not_any_more_is_refused_now(admin: Caller) -> None:
    key = create_key(name="narrow", allowed_models=["other"], scopes=["inference"], actor="test").row

    answer = compared(admin, record(key_id=key.pk))

    assert answer["selected_model"] is None
    assert answer["comparison"]["verdict"].startswith("It would be refused now: ")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"request_id": "req_nonsense"}, "request_id"),
        ({"request_id": f"req_{uuid7().hex}"}, "request_id"),
        ({"request_id": f"req_{uuid7().hex}", "model": "fast"}, "model"),
        ({}, "model"),
    ],
)
def test_what_can_not_be_compared_is_refused_by_name(
    admin: Caller, fields: dict[str, Any], param: str
) -> None:
    assert admin.refused("POST", "/router/route", fields)["param"] == param


def test_a_run_of_an_agent_decided_nothing(admin: Caller) -> None:
    kept = record(kind="agent", model="default/spark")

    refused = admin.refused("POST", "/router/route", {"request_id": kept.request_id})

    assert refused["param"] == "request_id"
    assert refused["message"].startswith("Only calls of models are decided")


def test_the_page_lists_requests_and_shows_both_decisions(admin_client: Client) -> None:
    kept = record(is_cached=True)

    listed = admin_client.get(f"{PAGE}?model=fast").content.decode()
    page = admin_client.get(f"{PAGE}?request={kept.request_id}").content.decode()
    own = admin_client.get(f"/admin/usage_app/usagerecord/{kept.pk}/change/").content.decode()

    assert f"?request={kept.request_id}" in listed
    assert "The same target would be asked first: lab/s." in page
    assert "It was answered from the cache: nothing was chosen." in page
    assert "whether it brought tools" in page
    assert f"/admin/simulator/?request={kept.request_id}" in own


def test_who_may_see_no_requests_or_those_of_a_team_only_sees_no_others(client: Client) -> None:
    own = Team.objects.create(name="own")
    kept, of_team = record(), record(team_id=own.pk)
    bob = User.objects.create_user("bob", password="password", is_staff=True)
    for name in ("view_route", "view_apikey"):
        bob.user_permissions.add(Permission.objects.get(codename=name))
    client.force_login(bob)

    pages = [client.get(f"{PAGE}?request={each.request_id}").content.decode() for each in (kept, of_team)]
    bob.user_permissions.add(Permission.objects.get(codename="team_view_usagerecord"))
    scoped = client.get(f"{PAGE}?model=fast&request={of_team.request_id}").content.decode()

    assert all("no such request that you may see" in page for page in pages)
    assert not any("A recorded request" in page for page in pages)
    assert "no such request that you may see" in scoped
