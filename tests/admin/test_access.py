"""Rules and groups in the admin: checked by field, in force at once, explained on a page of their own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway_project.core.clock import utc_now
from gateway_project.core.snapshot import SnapshotStore
from security_app.models import AccessGroup, AccessRule, Limit, Team
from security_app.services.access import create_group, create_rule, grant
from security_app.services.keys import create_key
from tests.admin.rows import permit

RULES = "/admin/security_app/accessrule/"
GROUPS = "/admin/security_app/accessgroup/"
EXPLAIN = "/admin/explain/"


def form(**values: str) -> dict[str, str]:
    """What a browser sends of a rule."""
    given = {
        "name": "no big ones",
        "effect": "deny",
        "object_kind": "model",
        "pattern": "big/*",
        "subject_kind": "",
        "subject_id": "",
        "condition": "",
        "is_enabled": "on",
    }
    moments = {f"valid_{end}_{part}": "" for end in ("from", "until") for part in (0, 1)}
    return given | moments | values


def explained(client: Client, **values: str) -> str:
    query = {"who": "key", "kind": "model", "object": "big/one", "ip": "", **values}
    answer = client.get(EXPLAIN, query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_rule_is_made_and_changed_and_counts_at_once(
    admin_client: Client, snapshots: SnapshotStore
) -> None:
    key = create_key(actor="t", name="billing").row
    assert "Allowed: big/one" in explained(admin_client, name=key.public_id)

    added = admin_client.post(f"{RULES}add/", form(subject_kind="key", subject_id=key.public_id))

    assert added.status_code == 302
    row = AccessRule.objects.get()
    assert (row.subject_id, row.created_by) == (key.id.hex, "admin")
    page = explained(admin_client, name="billing")
    assert "Not allowed: big/one" in page
    assert f"{RULES}{row.pk}/change/" in page
    changed = form(subject_kind="key", subject_id=key.id.hex, pattern="small/*")
    assert admin_client.post(f"{RULES}{row.pk}/change/", changed).status_code == 302
    assert "Allowed: big/one" in explained(admin_client, name="billing")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"subject_kind": "key", "subject_id": "key_" + "0" * 32}, "subject_id"),
        ({"subject_kind": "user"}, "subject_id"),
        ({"subject_id": "ada"}, "subject_id"),
        ({"pattern": "group:nowhere"}, "pattern"),
        ({"object_kind": "ip"}, "pattern"),
        ({"condition": "run()"}, "condition"),
        ({"condition": "object"}, "condition"),
        ({"name": ""}, "name"),
        ({"effect": "perhaps"}, "effect"),
        ({"valid_from_0": "2030-01-02", "valid_until_0": "2030-01-01"}, "valid_until"),
    ],
)
def test_a_wrong_field_is_named(admin_client: Client, values: dict[str, str], field: str) -> None:
    times = {f"{name[:-1]}1": "00:00:00" for name in values if name.endswith("_0")}

    answer: Any = admin_client.post(f"{RULES}add/", form(**values, **times))

    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert not AccessRule.objects.exists()


def test_a_grant_is_looked_at_and_ended(admin_client: Client, snapshots: SnapshotStore) -> None:
    row = grant(
        actor="t",
        until=utc_now() + timedelta(hours=1),
        reason="incident 7",
        names={},
        subject_kind="user",
        subject_id="ada",
        object_kind="model",
        pattern="big/one",
    )

    page = admin_client.get(f"{RULES}{row.pk}/change/").content.decode()
    refused = admin_client.post(f"{RULES}{row.pk}/change/", form())

    assert 'name="_save"' not in page
    assert refused.status_code == 403
    assert admin_client.post(f"{RULES}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not AccessRule.objects.exists()


def test_lists_are_filtered_by_what_holds(admin_client: Client) -> None:
    now = utc_now()
    rules: dict[str, dict[str, Any]] = {
        "lasting": {},
        "ended": {"valid_until": now - timedelta(days=1)},
        "asleep": {"is_enabled": False},
    }
    for name, values in rules.items():
        create_rule(actor="t", name=name, object_kind="tool", pattern="x", effect="deny", **values)

    assert "lasting" in admin_client.get(RULES).content.decode()
    for state, name in (("over", "ended"), ("off", "asleep")):
        page = admin_client.get(RULES, {"state": state}).content.decode()
        assert name in page
        assert "lasting" not in page


def test_a_group_that_a_rule_names_can_not_be_deleted(admin_client: Client, snapshots: SnapshotStore) -> None:
    body = {"name": "cheap", "description": "", "model_patterns": "small/*\nmini/*"}
    assert admin_client.post(f"{GROUPS}add/", body).status_code == 302
    group = AccessGroup.objects.get()
    assert group.model_patterns == ["small/*", "mini/*"]
    rule = create_rule(
        actor="t", name="only cheap", object_kind="model", pattern="group:cheap", effect="allow"
    )

    refused = admin_client.post(f"{GROUPS}{group.pk}/delete/", {"post": "yes"}, follow=True)

    assert "only cheap" in refused.content.decode()
    assert AccessGroup.objects.exists()
    rule.delete()
    admin_client.post(f"{GROUPS}{group.pk}/delete/", {"post": "yes"})
    assert not AccessGroup.objects.exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "nobody"}, "No key has this name"),
        ({"name": "key_" + "0" * 32}, "No key has this id"),
        ({"name": "sk-gw-0123456789"}, "not the key itself"),
        ({"name": "twice"}, "More than one key"),
        ({"name": "x", "who": "team"}, "No team has this name"),
        ({"name": "x", "object": ""}, "required"),
    ],
)
def test_a_question_about_nobody_or_nothing_is_refused(
    admin_client: Client, snapshots: SnapshotStore, values: dict[str, str], message: str
) -> None:
    for _ in range(2):
        create_key(actor="t", name="twice")

    assert message in explained(admin_client, **values)


def test_a_team_and_users_can_be_asked_about(admin_client: Client, snapshots: SnapshotStore) -> None:
    team = Team.objects.create(name="Search", allowed_models=["small/*"])
    create_group(actor="t", name="any")
    snapshots.refresh()

    assert "Not allowed: big/one" in explained(admin_client, who="team", name="Search")
    assert "Allowed: small/one" in explained(admin_client, who="team", name=str(team.pk), object="small/one")
    assert "Allowed: big/one" in explained(admin_client, who="user", name="ada")
    assert "Allowed: big/one" in explained(admin_client, who="end_user", name="visitor")


def test_the_page_is_for_those_who_may_see_keys_and_rules(charlie: User, charlies_client: Client) -> None:
    permit(charlie, "view_apikey")
    assert charlies_client.get(EXPLAIN).status_code == 403
    permit(charlie, "view_accessrule")
    assert charlies_client.get(EXPLAIN).status_code == 200
    assert charlies_client.get(RULES).status_code == 200
    assert charlies_client.post(f"{RULES}add/", form()).status_code == 403


def test_limits_that_a_call_would_take_from_are_named(admin_client: Client, snapshots: SnapshotStore) -> None:
    key = create_key(actor="t", name="billing").row
    limit = {"subject_kind": "key", "subject_id": key.pk.hex, "value": 5}
    Limit.objects.create(**limit)
    Limit.objects.create(**limit, condition="'nightly' in tags && route == '/v1/embeddings'")
    snapshots.refresh()

    by_day = explained(admin_client, name="billing")
    by_night = explained(admin_client, name="billing", tags="a, nightly", route="/v1/embeddings")

    assert by_day.count("at most 5 requests in any minute of key") == 2
    assert "does not count" in by_day
    assert "does not count" not in by_night
    assert "nightly" in by_day
