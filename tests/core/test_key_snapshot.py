"""Keys are loaded one by one as they change, and the result is that of loading them all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from gateway_project.core.clock import utc_now
from gateway_project.core.snapshot import Section
from security_app.models import ApiKey, ConfigVersion
from security_app.registry import SecurityConfig, build
from security_app.services.keys import create_key, delete_keys, update_key

pytestmark = pytest.mark.django_db


def version() -> int:
    return ConfigVersion.objects.get(section="security").version


def full() -> Section[Any]:
    return build(None, version(), {})


def facts(section: Section[Any]) -> dict[bytes, Any]:
    """Everything that a request could notice."""
    config: SecurityConfig = section.value
    return {
        digest: (
            *principal[:3],
            principal.policy.scopes,
            principal.policy.allowed_models,
            principal.policy.allowed_tools,
            principal.expires_at,
            principal.is_blocked,
        )
        for digest, principal in config.keys.items()
    }


def test_an_incremental_build_equals_a_full_one() -> None:
    alice, bob, carol, dora = (
        create_key(actor="t", name=name).row for name in ("alice", "bob", "carol", "dora")
    )
    before = full()

    update_key(alice, actor="t", is_blocked=True, allowed_models=["openai/*"], allowed_tools=["crm_*"])
    delete_keys([bob], actor="t")
    update_key(carol, actor="t", expires_at=utc_now() + timedelta(days=1), scopes=["inference", "admin"])
    eve = create_key(actor="t", name="eve").row
    after = build(before, version(), {})

    assert facts(after) == facts(full())
    names = {principal.name for principal in after.value.keys.values()}
    assert names == {"alice", "carol", "dora", "eve"}
    assert after.value.keys[bytes(alice.digest)].is_blocked
    assert after.value.keys[bytes(dora.digest)] is before.value.keys[bytes(dora.digest)]
    assert bytes(eve.digest) in after.value.keys
    # What is pinned by a request in flight does not change under it.
    assert {principal.name for principal in before.value.keys.values()} == {"alice", "bob", "carol", "dora"}
    assert not before.value.keys[bytes(alice.digest)].is_blocked


def test_bulk_writes_are_seen_too() -> None:
    rows = [create_key(actor="t", name=f"key {number}").row for number in range(3)]
    before = full()

    ApiKey.objects.filter(pk__in=[rows[0].pk, rows[1].pk]).update(is_blocked=True)
    after = build(before, version(), {})

    assert facts(after) == facts(full())
    assert sorted(principal.is_blocked for principal in after.value.keys.values()) == [False, True, True]


def test_only_what_changed_is_read() -> None:
    for number in range(20):
        create_key(actor="t", name=f"key {number}")
    before = full()
    update_key(ApiKey.objects.get(name="key 7"), actor="t", name="renamed")
    now = version()
    read: list[Any] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        read.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        build(before, now, {})

    assert len(read) == 1
    assert "changed_version >" in read[0][0]


@pytest.mark.parametrize("column", ["scopes", "allowed_models"])
@pytest.mark.parametrize("value", [{"not": "a list"}, [{"a": 1}], [["nested"]], [None], "text", 7])
def test_a_broken_key_is_shown_and_out_of_force_until_it_is_mended(column: str, value: Any) -> None:
    broken, fine = create_key(actor="t", name="broken").row, create_key(actor="t", name="fine").row
    before = full()

    ApiKey.objects.filter(pk=broken.pk).update(**{column: value})
    after = build(before, version(), {})

    shown = [f"key broken ({broken.public_id})"]
    assert {item.section for item in after.diagnostics} == {"security"}
    assert (
        [item.object for item in after.diagnostics] == [item.object for item in full().diagnostics] == shown
    )
    assert set(after.value.keys) == {bytes(fine.digest)}
    assert facts(after) == facts(full())
    update_key(fine, actor="t", name="better")
    later = build(after, version(), {})
    assert [item.object for item in later.diagnostics] == shown

    ApiKey.objects.filter(pk=broken.pk).update(**{column: ["inference"]})
    mended = build(later, version(), {})
    assert set(mended.value.keys) == {bytes(fine.digest), bytes(broken.digest)}
    assert mended.diagnostics == ()
    # What others see of the older snapshots stays.
    assert [item.object for item in later.diagnostics] == shown


def test_what_is_wrong_with_a_key_goes_with_the_key() -> None:
    rows = [create_key(actor="t", name="same name").row for _ in range(3)]
    ApiKey.objects.filter(pk__in=[row.pk for row in rows]).update(scopes=["inference", 1])
    before = full()

    delete_keys([rows[0]], actor="t")
    update_key(rows[1], actor="t", name="mended", scopes=["inference"])
    after = build(before, version(), {})

    assert len(before.diagnostics) == 3
    assert [item.object for item in after.diagnostics] == [f"key same name ({rows[2].public_id})"]
    assert facts(after) == facts(full())


def test_a_key_deleted_by_any_way_of_the_orm_is_refused_from_then_on() -> None:
    alone, one, two, stays = (
        create_key(actor="t", name=name).row for name in ("alone", "one", "two", "stays")
    )
    before = full()

    assert alone.delete() == (1, {"security_app.ApiKey": 1})
    assert ApiKey.objects.filter(name__in=["one", "two"]).delete() == (2, {"security_app.ApiKey": 2})
    after = build(before, version(), {})

    assert set(after.value.keys) == {bytes(stays.digest)}
    assert facts(after) == facts(full())
    assert alone.deleted_at is not None
    assert set(ApiKey.objects.exclude(deleted_at=None)) == {alone, one, two}


def test_a_tombstone_keeps_the_moment_of_its_deletion() -> None:
    row = create_key(actor="t").row
    row.delete()
    first = ApiKey.objects.get()

    assert row.delete() == (0, {})
    assert ApiKey.objects.all().delete() == (0, {})

    assert ApiKey.objects.get().deleted_at == first.deleted_at == row.deleted_at


def test_keys_with_the_same_rules_share_them() -> None:
    for number in range(5):
        create_key(actor="t", name=f"key {number}")

    assert len({id(principal.policy) for principal in full().value.keys.values()}) == 1


def test_rules_that_no_key_has_any_more_are_forgotten_in_time() -> None:
    create_key(actor="t", allowed_models=["used/*"])
    config: SecurityConfig = full().value
    for number in range(10_001):
        config.policies['["inference"]', f'["{number}"]', "[]"] = next(iter(config.policies.values()))

    later = config.copy()

    assert later.policies == {}
    assert later.keys == config.keys
    texts = '["inference"]', '["used/*"]', '["crm_*"]'
    assert later.policy(*texts) is later.copy().policy(*texts)
