"""The form of a route: how it chooses, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.admin.upstream_forms import errors_of
from upstreams_app.models import Route, Upstream, UpstreamModel

ADD = "/admin/upstreams_app/route/add/"


def test_a_condition_that_can_not_be_used_is_an_error_at_its_field(admin_client: Client) -> None:
    upstream = Upstream.objects.create(name="lab", kind="demo")
    model = UpstreamModel.objects.create(upstream=upstream, name="small")
    target = {
        "targets-TOTAL_FORMS": "1",
        "targets-0-model": str(model.pk),
        "targets-0-priority": "1",
        "targets-0-weight": "1",
        "targets-0-is_enabled": "on",
        "targets-0-tags": '["eu"]',
    }

    refused = admin_client.post(ADD, filled_form(**target, **{"targets-0-condition": "tokens >> 8"}))
    accepted = admin_client.post(ADD, filled_form(**target, **{"targets-0-condition": "tokens > 8"}))

    assert "it is no valid CEL expression (character 9)" in refused.content.decode()
    assert accepted.status_code == 302
    assert Route.objects.get().targets.get().tags == ["eu"]


def filled_form(**changes: Any) -> dict[str, Any]:
    """A form without a fault, with these changes."""
    return {
        "name": "fast",
        "is_enabled": "on",
        "strategy": "latency",
        "affinity": "user",
        "max_attempts": "4",
        "deadline_s": "",
        "retry_policy": '{"timeout": 1}',
        "fallbacks": '{"general": ["other"]}',
        "hedge_percent": "5",
        "targets-TOTAL_FORMS": "0",
        "targets-INITIAL_FORMS": "0",
        **changes,
    }


def test_a_route_says_how_it_chooses(admin_client: Client) -> None:
    answer = admin_client.post(ADD, filled_form())

    assert answer.status_code == 302
    policy = Route.objects.get().policy()
    assert (policy.strategy, policy.affinity, policy.max_attempts) == ("latency", "user", 4)
    assert policy.fallbacks == {"general": ("other",)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strategy", "best"),
        ("max_attempts", "11"),
        ("deadline_s", "0"),
        ("retry_policy", '{"rain": 1}'),
        ("fallbacks", '{"general": "other"}'),
        ("fallbacks", '{"general": ["fast"]}'),
        ("hedge_after_ms", "5"),
        ("hedge_percent", "90"),
        ("hedge_condition", "tokens >>"),
    ],
)
def test_nonsense_is_an_error_at_its_field(admin_client: Client, field: str, value: str) -> None:
    answer = admin_client.post(ADD, filled_form(**{field: value}))

    assert list(errors_of(answer)) == [field]
    assert not Route.objects.exists()
