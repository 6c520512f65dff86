"""Every write of a configuration row is an event, with what was and what is, and without secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import transaction

from gateway_project.core.acting import acting_as
from security_app.models import ApiKey, AuditEvent
from security_app.models.recording import MAX_EVENTS
from security_app.services.audit import audit_head, record
from security_app.services.keys import create_key, update_key
from tests.usage.entries import make_price
from upstreams_app.models import Upstream, UpstreamModel
from usage_app.models import Price

pytestmark = pytest.mark.django_db


def events(**wanted: Any) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(**wanted).order_by("seq"))


def image(text: str | None) -> dict[str, Any]:
    assert text is not None
    found: dict[str, Any] = json.loads(text)
    return found


def make_upstream(name: str = "acme") -> Upstream:
    return Upstream.objects.create(name=name, kind="openai", base_url="https://acme.example")


def test_what_is_created_updated_and_deleted_is_told_with_its_images() -> None:
    row = make_upstream()
    row.description = "ours"
    row.save()
    key = row.pk.hex
    row.delete()

    created, updated, deleted = events(object_type="upstreams_app.upstream")

    assert [one.action for one in (created, updated, deleted)] == ["created", "updated", "deleted"]
    assert {one.object_id for one in (created, updated, deleted)} == {key}
    assert created.before is None
    assert image(created.after)["name"] == "acme"
    assert (image(updated.before)["description"], image(updated.after)["description"]) == ("", "ours")
    assert deleted.after is None
    assert image(deleted.before) == image(updated.after)


def test_a_save_that_changes_nothing_is_no_event() -> None:
    make_upstream()
    before = audit_head()

    Upstream.objects.get(name="acme").save()

    assert audit_head() == before


def test_a_save_of_some_fields_tells_of_no_others() -> None:
    row = make_upstream()
    row.description, row.name = "ours", "not saved"
    row.save(update_fields=["description"])

    event = events()[-1]

    assert image(event.after) == image(event.before) | {"description": "ours"}


def test_secrets_are_digests_that_tell_of_a_change() -> None:
    row = make_upstream()
    row.set_api_key("sk-very-secret-0001")
    row.headers = {"x-tenant": "secret-tenant"}
    row.save()
    row.set_api_key("sk-very-secret-0002")
    row.save()
    created = create_key(actor="test", name="mine")

    told = "".join(f"{one.before}{one.after}{one.detail}" for one in events())
    first, second = (image(one.after) for one in events(object_id=row.pk.hex)[-2:])

    for secret in ("sk-very", "secret-tenant", created.plain, bytes(created.row.digest).hex()):
        assert secret not in told
    assert first["api_key_sealed"] != second["api_key_sealed"]
    assert set(first["api_key_sealed"]) == {"masked"}
    assert set(first["headers"]["x-tenant"]) == {"masked"}
    assert image(events(object_type="security_app.apikey")[0].after)["hint"] == created.row.hint


def test_an_update_of_many_rows_is_an_event_for_each_that_changed() -> None:
    for name in ("a", "b", "c"):
        make_upstream(name)
    make_upstream("done")
    Upstream.objects.filter(name="done").update(is_enabled=False)
    before = audit_head().seq

    Upstream.objects.exclude(name="c").update(is_enabled=False)

    found = events(seq__gt=before)
    assert sorted(one.object_name for one in found) == ["a", "b"]
    assert all(image(one.before)["is_enabled"] and not image(one.after)["is_enabled"] for one in found)


def test_what_a_cascade_deletes_is_told() -> None:
    row = make_upstream()
    UpstreamModel.objects.create(upstream=row, name="small")
    before = audit_head().seq

    Upstream.objects.filter(name="acme").delete()

    found = events(seq__gt=before)
    assert sorted(one.object_type for one in found) == [
        "upstreams_app.upstream",
        "upstreams_app.upstreammodel",
    ]
    assert {one.action for one in found} == {"deleted"}


def test_the_end_of_a_key_is_a_deletion() -> None:
    key = create_key(actor="test", name="mine").row
    key.delete()

    assert [one.action for one in events(object_id=key.pk.hex)] == ["created", "revealed", "deleted"]


def test_a_write_of_too_many_rows_is_one_event() -> None:
    row = make_upstream()
    count = MAX_EVENTS + 1
    models = [UpstreamModel(upstream=row, name=f"m{number}") for number in range(count)]
    before = audit_head().seq

    UpstreamModel.objects.bulk_create(models)
    UpstreamModel.objects.filter(upstream=row, mode="chat").update(description="ours")
    for model in models:
        model.context_window = 8
    UpstreamModel.objects.bulk_update(models, ["context_window"], batch_size=200)
    UpstreamModel.objects.filter(upstream=row).delete()

    found = events(seq__gt=before)
    assert [(one.action, image(one.detail)["rows"]) for one in found] == [
        ("created", count),
        ("updated", count),
        ("updated", count),
        ("deleted", count),
    ]
    detail = image(found[1].detail)
    assert detail["set"] == {"description": "ours"}
    assert "mode exact chat" in detail["where"]


def test_a_bulk_update_of_few_rows_is_told_row_by_row() -> None:
    prices = [make_price(model=f"acme/{number}") for number in range(3)]
    before = audit_head().seq
    for price in prices[:2]:
        price.model += "-new"

    Price.objects.bulk_update(prices, ["model"])

    assert [one.object_name for one in events(seq__gt=before)] == ["acme/0-new", "acme/1-new"]


def test_rows_that_existed_are_not_told_as_created() -> None:
    row = make_upstream()
    before = audit_head().seq

    Upstream.objects.bulk_create([row, Upstream(name="other", kind="openai")], ignore_conflicts=True)

    assert [(one.action, one.object_name) for one in events(seq__gt=before)] == [("created", "other")]


def test_an_event_says_who_did_it() -> None:
    with acting_as("command:test", "req_1", ip="192.0.2.1"):
        make_upstream("a")
    with acting_as("key_" + "0" * 32):
        make_upstream("b")
    make_upstream("c")

    told = [(one.actor, one.actor_kind, one.request_id, one.ip) for one in events()]

    assert told == [
        ("command:test", "command", "req_1", "192.0.2.1"),
        ("key_" + "0" * 32, "key", "", ""),
        ("system:MainThread", "system", "", ""),
    ]


def test_what_is_rolled_back_leaves_no_event() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        make_upstream()
        raise RuntimeError

    assert audit_head().seq == 0
    make_upstream()
    assert audit_head().seq == 1


def test_texts_that_databases_refuse_are_told_all_the_same() -> None:
    record("exported", object_type="report", object_id="a\0b", object_name="half \ud83d", detail={"n": 2**70})

    event = events()[0]
    assert (event.object_id, event.object_name) == ("a\ufffdb", "half ?")
    assert image(event.detail) == {"n": str(2**70)}


def test_events_have_no_way_to_be_changed() -> None:
    row = make_upstream()
    event = events(object_id=row.pk.hex)[0]

    for change in (event.save, event.delete, AuditEvent.objects.all().delete):
        with pytest.raises(TypeError, match="never changed"):
            change()
    with pytest.raises(TypeError, match="never changed"):
        AuditEvent.objects.filter(seq=1).update(actor="nobody")


def test_a_changed_key_tells_the_fields(django_assert_max_num_queries: Any) -> None:
    key = create_key(actor="test", name="mine").row

    # Of which the audit's: the row as it was, the head, the event, the head's new state.
    with django_assert_max_num_queries(12):
        update_key(ApiKey.objects.get(pk=key.pk), actor="test", name="yours")

    event = events(object_id=key.pk.hex)[-1]
    assert (image(event.before)["name"], image(event.after)["name"]) == ("mine", "yours")
