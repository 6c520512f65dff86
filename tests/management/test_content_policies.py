"""Content policies over HTTP: made, in force at once, changed, ended, and all of it in the audit."""

from __future__ import annotations

from typing import Any

from security_app.models import AuditEvent, ContentPolicy
from security_app.services.configuration import store
from security_app.services.keys import create_key
from tests.management.caller import Caller

EVERYONE: dict[str, Any] = {"subject": {"kind": "everyone"}, "stores_texts": True}
NOBODY = "content_policy_" + "0" * 32


def test_a_policy_is_made_shown_changed_and_ended_and_each_is_in_force_and_audited(admin: Caller) -> None:
    store.refresh()
    version = store.current.sections["content"].version

    made = admin.ok("POST", "/content/policies", EVERYONE)

    assert made["subject"] == {"kind": "everyone", "id": ""}
    assert (made["stores_texts"], made["masks_emails"], made["masks_cards"]) == (True, True, True)
    assert made["retention_days"] == 7
    assert store.current.sections["content"].version > version
    path = f"/content/policies/{made['id']}"
    assert admin.ok("GET", path) == made
    changed = admin.ok("PATCH", path, {"stores_texts": False, "retention_days": 1, "masks_cards": None})
    assert (changed["stores_texts"], changed["retention_days"], changed["masks_cards"]) == (False, 1, True)
    assert admin.ok("DELETE", path) == {"id": made["id"], "deleted": True}
    assert admin.refused("GET", path)["status"] == 404
    assert AuditEvent.objects.filter(object_type="security_app.contentpolicy").count() == 3


def test_policies_are_listed_by_whose_they_are(admin: Caller) -> None:
    key = admin.ok("POST", "/key/generate", {})["key_id"]
    admin.ok("POST", "/content/policies", EVERYONE)
    of_key = admin.ok("POST", "/content/policies", {"subject": {"kind": "key", "id": key}})

    assert of_key["subject"]["id"] == key.removeprefix("key_")
    assert admin.ok("GET", "/content/policies?subject_kind=key")["data"] == [of_key]
    assert admin.ok("GET", "/content/policies?size=1")["total_pages"] == 2


def test_what_is_wrong_is_named(admin: Caller) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"subject": {"kind": "everyone", "id": "x"}}, "subject.id"),
        ({"subject": {"kind": "team"}}, "subject.id"),
        ({"subject": {"kind": "key", "id": "sk-gw-secret"}}, "subject.id"),
        ({"subject": {"kind": "user", "id": "ada"}}, "subject.kind"),
        ({}, "subject"),
        (EVERYONE | {"retention_days": 0}, "retention_days"),
        (EVERYONE | {"retention_days": 401}, "retention_days"),
        (EVERYONE | {"stores_text": True}, "stores_text"),
    ]

    for body, param in cases:
        assert admin.refused("POST", "/content/policies", body)["param"] == param

    assert not ContentPolicy.objects.exists()


def test_a_subject_has_one_policy_and_only_administrators_see_it(admin: Caller) -> None:
    made = admin.ok("POST", "/content/policies", EVERYONE)
    bob = admin.with_key(create_key(actor="test", name="bob").plain)

    assert admin.refused("POST", "/content/policies", EVERYONE)["status"] == 409
    assert admin.refused("PATCH", f"/content/policies/{NOBODY}", {})["status"] == 404
    for method, path in (
        ("GET", "/content/policies"),
        ("POST", "/content/policies"),
        ("DELETE", f"/content/policies/{made['id']}"),
    ):
        assert bob.refused(method, path)["status"] == 403
