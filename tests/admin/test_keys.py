"""API keys: made, changed, blocked and deleted in the admin, and shown in plain text once."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.forms.utils import ErrorDict
from django.test import Client

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import AuthenticationFailed
from gateway_project.core.snapshot import SnapshotStore
from security_app.models import ApiKey
from security_app.services.authentication import authenticate
from security_app.services.keys import create_key, delete_keys
from tests.admin.rows import permit
from usage_app.models import KeyUse

LIST = "/admin/security_app/apikey/"
ADD = f"{LIST}add/"
MANY_AGENTS = [f"desk/a{number}" for number in range(51)]
PINS = '{"desk/billing": 3}'


def _form(**changes: Any) -> dict[str, Any]:
    return {
        "name": "team search",
        "user_id": "u-1",
        "scopes": ["inference"],
        "allowed_models": "",
        "allowed_tools": "",
        "agent_versions": "{}",
        "trusts_end_user": "off",
        "expires_at_0": "",
        "expires_at_1": "",
        "metadata": "{}",
        **changes,
    }


def _plain_key(page: str) -> str:
    found = re.search(r'id="plain-key"[^>]*value="(sk-gw-[0-9A-Za-z]+)"', page)
    assert found, page
    return html.unescape(found[1])


def _errors(answer: Any) -> ErrorDict:
    errors: ErrorDict = answer.context["adminform"].form.errors
    return errors


def _act(client: Client, action: str, *rows: ApiKey, **more: str) -> Any:
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    return client.post(LIST, data, follow=True)


def test_a_key_made_in_the_admin_opens_the_door(admin_client: Client, snapshots: SnapshotStore) -> None:
    patterns = "openai/*\n\n demo/chat \nopenai/*"
    answer = admin_client.post(
        ADD, _form(allowed_models=patterns, allowed_tools="crm_*\n find ", agent_versions=PINS)
    )

    principal = authenticate(
        snapshots.current.sections["security"].value, _plain_key(answer.content.decode())
    )
    assert principal.name == "team search"
    assert principal.policy.allowed_models == ("openai/*", "demo/chat")
    assert principal.policy.allowed_tools == ("crm_*", "find")
    assert principal.policy.agent_versions == {"desk/billing": 3}
    assert principal.policy.scopes == {"inference"}
    assert ApiKey.objects.get().created_by == "admin"


def test_the_plain_key_is_shown_once_and_kept_nowhere(
    admin_client: Client, caplog: pytest.LogCaptureFixture, db: None
) -> None:
    caplog.set_level("DEBUG")

    answer = admin_client.post(ADD, _form())

    plain = _plain_key(answer.content.decode())
    row = ApiKey.objects.get()
    assert answer.status_code == 200
    assert answer.content.decode().count(plain) == 1
    assert "no-store" in answer.headers["Cache-Control"]
    for path in (LIST, f"{LIST}{row.pk}/change/", f"{LIST}{row.pk}/history/", "/admin/", ADD):
        assert plain not in admin_client.get(path).content.decode(), path
    assert plain not in str(dict(admin_client.session))
    assert all(plain not in session.get_decoded() for session in Session.objects.all())
    assert all(plain not in cookie.value for cookie in admin_client.cookies.values())
    assert all(plain not in str(vars(record)) for record in caplog.records)
    assert all(plain not in str(vars(entry)) for entry in LogEntry.objects.all())
    assert all(plain not in str(vars(key)) for key in ApiKey.objects.all())


@pytest.mark.parametrize("button", ["_save", "_continue", "_addanother"])
def test_every_save_button_shows_the_new_key(button: str, admin_client: Client) -> None:
    answer = admin_client.post(ADD, _form(**{button: "1"}))

    assert _plain_key(answer.content.decode())


def test_a_new_key_may_call_models_unless_something_else_is_chosen(admin_client: Client) -> None:
    form = admin_client.get(ADD).context["adminform"].form

    assert form["scopes"].value() == ["inference"]
    assert form["allowed_models"].value() == ""


@pytest.mark.parametrize(
    ("field", "changes", "message"),
    [
        ("scopes", {"scopes": []}, "at least one scope"),
        ("scopes", {"scopes": ["root"]}, "valid choice"),
        ("allowed_models", {"allowed_models": "x" * 201}, "200 patterns of 200 characters"),
        ("allowed_models", {"allowed_models": "\n".join(map(str, range(201)))}, "200"),
        ("allowed_models", {"allowed_models": "a\0b"}, "Null characters"),
        ("allowed_tools", {"allowed_tools": "x" * 201}, "200 patterns of 200 characters"),
        ("expires_at", {"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "passed"),
        ("expires_at", {"expires_at_0": "soon", "expires_at_1": "00:00"}, "valid date"),
        ("agent_versions", {"agent_versions": '["desk/a"]'}, "JSON object"),
        ("agent_versions", {"agent_versions": '{"desk/a": "1"}'}, "JSON object such as"),
        ("agent_versions", {"agent_versions": '{"desk/a": true}'}, "JSON object such as"),
        ("agent_versions", {"agent_versions": json.dumps(dict.fromkeys(MANY_AGENTS, 1))}, "At most 50"),
        ("metadata", {"metadata": "[]"}, "JSON object"),
        ("metadata", {"metadata": "{"}, "valid JSON"),
        ("metadata", {"metadata": '{"a": NaN}'}, "NaN"),
        ("metadata", {"metadata": '{"a": "\\u0000"}'}, "Null"),
        ("metadata", {"metadata": '{"a": "\\ud800"}'}, "half characters"),
        ("metadata", {"metadata": '{"a":' * 41 + "1" + "}" * 41}, "nested more than 40"),
        ("metadata", {"metadata": '{"a":' * 9000 + "1" + "}" * 9000}, "nested more than 40"),
        ("name", {"name": "n" * 201}, "200"),
        ("name", {"name": "a\0b"}, "Null characters"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(
    field: str, changes: dict[str, Any], message: str, admin_client: Client
) -> None:
    answer = admin_client.post(ADD, _form(**changes))

    assert message in str(_errors(answer)[field])
    assert not ApiKey.objects.exists()


def test_a_change_keeps_the_digest_and_acts_at_once(admin_client: Client, snapshots: SnapshotStore) -> None:
    made = create_key(actor="test", name="before")
    digest = bytes(made.row.digest)

    admin_client.post(
        f"{LIST}{made.row.pk}/change/",
        _form(name="after", scopes=["admin", "metrics"], agent_versions=PINS, digest="00"),
    )

    principal = authenticate(snapshots.current.sections["security"].value, made.plain)
    assert (principal.name, principal.policy.scopes) == ("after", frozenset({"admin", "metrics"}))
    assert principal.policy.agent_versions == {"desk/billing": 3}
    assert bytes(ApiKey.objects.get().digest) == digest


def test_the_form_never_shows_the_digest(admin_client: Client) -> None:
    row = create_key(actor="test").row

    page = admin_client.get(f"{LIST}{row.pk}/change/").content.decode()

    assert bytes(row.digest).hex() not in page
    assert 'name="digest"' not in page
    assert row.hint in page


def test_blocking_asks_first_and_then_acts_in_the_snapshot(
    admin_client: Client, snapshots: SnapshotStore
) -> None:
    made = create_key(actor="test", name="loud")
    other = create_key(actor="test", name="other")

    asked = _act(admin_client, "block_keys", made.row)

    assert "Block these keys?" in asked.content.decode()
    assert not ApiKey.objects.filter(is_blocked=True).exists()

    _act(admin_client, "block_keys", made.row, confirmed="yes")

    security = snapshots.current.sections["security"].value
    with pytest.raises(AuthenticationFailed):
        authenticate(security, made.plain)
    assert authenticate(security, other.plain).name == "other"

    _act(admin_client, "unblock_keys", made.row, confirmed="yes")

    assert authenticate(snapshots.current.sections["security"].value, made.plain).name == "loud"


def test_blocking_by_the_form_acts_in_the_snapshot(admin_client: Client, snapshots: SnapshotStore) -> None:
    made = create_key(actor="test")

    admin_client.post(f"{LIST}{made.row.pk}/change/", _form(is_blocked="on"))

    with pytest.raises(AuthenticationFailed):
        authenticate(snapshots.current.sections["security"].value, made.plain)


def test_deleting_leaves_a_tombstone_out_of_sight(admin_client: Client, snapshots: SnapshotStore) -> None:
    made = create_key(actor="test", name="gone for good")

    _act(admin_client, "delete_keys_for_good", made.row, confirmed="yes")

    row = ApiKey.objects.get()
    assert row.deleted_at is not None
    with pytest.raises(AuthenticationFailed):
        authenticate(snapshots.current.sections["security"].value, made.plain)
    assert "gone for good" not in admin_client.get(LIST).content.decode()
    assert "gone for good" in admin_client.get(LIST, {"status": "deleted"}).content.decode()


def test_the_delete_button_of_the_form_leaves_a_tombstone_too(admin_client: Client, db: None) -> None:
    row = create_key(actor="test").row

    asked = admin_client.get(f"{LIST}{row.pk}/delete/")
    admin_client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})

    assert asked.status_code == 200
    assert ApiKey.objects.get().deleted_at is not None


def test_a_deleted_key_can_only_be_looked_at(admin_client: Client) -> None:
    row = create_key(actor="test", name="gone").row
    delete_keys([row], actor="test")

    assert admin_client.get(f"{LIST}{row.pk}/change/").status_code == 200
    assert admin_client.post(f"{LIST}{row.pk}/change/", _form(name="back")).status_code == 403
    assert admin_client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    _act(admin_client, "unblock_keys", row, confirmed="yes")
    assert ApiKey.objects.get().name == "gone"


@pytest.mark.parametrize("action", ["block_keys", "unblock_keys", "delete_keys_for_good"])
def test_actions_need_the_permission_to_change(action: str, charlie: User, charlies_client: Client) -> None:
    permit(charlie, "view_apikey")
    row = create_key(actor="test").row

    _act(charlies_client, action, row, confirmed="yes")

    row.refresh_from_db()
    assert not row.is_blocked
    assert row.deleted_at is None


def test_filters_tell_the_statuses_apart(admin_client: Client) -> None:
    soon = utc_now() + timedelta(days=3)
    create_key(actor="test", name="key-active", expires_at=soon)
    create_key(actor="test", name="key-admin", scopes=["admin"])
    create_key(actor="test", name="key-blocked", is_blocked=True)
    expired = create_key(actor="test", name="key-expired").row
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=utc_now() - timedelta(days=1))
    delete_keys([create_key(actor="test", name="key-deleted").row], actor="test")

    def shown(**query: str) -> set[str]:
        page = admin_client.get(LIST, query).content.decode()
        return set(re.findall(r">key-(\w+)<", page))

    assert shown() == {"active", "admin", "blocked", "expired"}
    assert shown(status="active") == {"active", "admin"}
    assert shown(status="blocked") == {"blocked"}
    assert shown(status="expired") == {"expired"}
    assert shown(status="deleted") == {"deleted"}
    assert shown(scope="admin") == {"admin"}
    assert shown(expiry="7") == {"active"}
    assert shown(expiry="never") == {"admin", "blocked"}


def test_keys_are_found_by_name_hint_user_and_id(admin_client: Client) -> None:
    row = create_key(actor="test", name="search team", user_id="u-77").row
    create_key(actor="test", name="somebody else")

    for text in ("search", row.hint[-4:], "u-77", row.public_id):
        assert list(admin_client.get(LIST, {"q": text}).context["cl"].queryset) == [row], text


def test_the_last_use_is_in_the_list(admin_client: Client) -> None:
    row = create_key(actor="test").row
    KeyUse.objects.create(
        key_id=row.pk, last_used_at=utc_now().replace(year=2031, month=2, day=3), requests=7
    )

    assert "2031-02-03" in admin_client.get(LIST).content.decode()


def test_each_change_is_logged_with_its_actor(
    admin_client: Client, caplog: pytest.LogCaptureFixture, db: None
) -> None:
    caplog.set_level("INFO")

    admin_client.post(ADD, _form())

    row = ApiKey.objects.get()
    events = [vars(record) for record in caplog.records if record.getMessage() == "config.changed"]
    assert [(event["actor"], event["object"], event["action"]) for event in events] == [
        ("admin", f"apikey {row.public_id}", "created")
    ]
