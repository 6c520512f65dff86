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

    update_key(alice, actor="t", is_blocked=True, allowed_models=["openai/*"])
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
def test_a_broken_key_is_shown_and_out_of_force_until_it_is_mended(column: str) -> None:
    broken, fine = create_key(actor="t", name="broken").row, create_key(actor="t", name="fine").row
    before = full()

    ApiKey.objects.filter(pk=broken.pk).update(**{column: {"not": "a list"}})
    after = build(before, version(), {})

    assert [(item.object, item.section) for item in after.diagnostics] == [("key broken", "security")]
    assert set(after.value.keys) == {bytes(fine.digest)}
    assert facts(after) == facts(full())
    update_key(fine, actor="t", name="better")
    later = build(after, version(), {})
    assert [item.object for item in later.diagnostics] == ["key broken"]

    ApiKey.objects.filter(pk=broken.pk).update(**{column: ["inference"]})
    mended = build(later, version(), {})
    assert set(mended.value.keys) == {bytes(fine.digest), bytes(broken.digest)}


def test_keys_with_the_same_rules_share_them() -> None:
    for number in range(5):
        create_key(actor="t", name=f"key {number}")

    assert len({id(principal.policy) for principal in full().value.keys.values()}) == 1
