"""Whatever is changed in the audit behind its back is named; an untouched chain is whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_project.core.crypto import RingKey
from security_app.models import AuditEvent, AuditHead
from security_app.models.chain import event_hash
from security_app.services.audit import audit_head, record
from security_app.services.audit_anchors import read_anchors, write_anchor
from security_app.services.audit_check import Anchor, Findings, check_audit
from tests.audit.chains import TABLE, disarm, make_chain, rewrite, tampered

pytestmark = pytest.mark.django_db
LENGTH = 9
LENGTHS = {field.attname: field.max_length for field in AuditEvent._meta.concrete_fields}
TEXTS = [
    field.attname
    for field in AuditEvent._meta.concrete_fields
    if field.attname not in ("seq", "event_id", "at", "before", "after")
]


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.GATEWAY_DATA_DIR = tmp_path


def named(found: Findings) -> set[tuple[str, int]]:
    return {(problem.kind, problem.seq) for problem in found.problems}


def test_an_untouched_chain_is_whole() -> None:
    make_chain(LENGTH)

    found = check_audit()

    assert found.is_whole
    assert (found.events, found.last_seq, found.last_hash) == (LENGTH, *audit_head())


def test_no_chain_is_whole() -> None:
    assert check_audit().is_whole


@pytest.mark.django_db(transaction=True)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_tampering_is_named(data: st.DataObject) -> None:
    """Edits of any field, deletions anywhere, two events in each other's place, the end cut off."""
    with transaction.atomic():
        AuditEvent._base_manager.all()._raw_delete("default")
        AuditHead.objects.all().delete()
        disarm()
        make_chain(LENGTH)
        assert check_audit().is_whole
        kind = data.draw(st.sampled_from(["edit", "delete", "swap", "cut", "cut with head"]))
        seq = data.draw(st.integers(1, LENGTH))
        expected = tamper(kind, seq, data)

        found = check_audit()

        assert not found.is_whole
        assert expected & {problem.seq for problem in found.problems}
        transaction.set_rollback(True)


def tamper(kind: str, seq: int, data: st.DataObject) -> set[int]:
    """Do it; the numbers one of which must be named."""
    if kind == "edit":
        edit(seq, data)
        return {seq}
    if kind == "delete":
        tampered(f"DELETE FROM {TABLE} WHERE seq = %s", seq)  # noqa: S608
        return {seq}
    if kind == "swap":
        other = data.draw(st.integers(1, LENGTH).filter(lambda number: number != seq))
        for old, new in ((seq, -1), (other, seq), (-1, other)):
            rewrite(old, seq=new)
        return {seq, other}
    tampered(f"DELETE FROM {TABLE} WHERE seq >= %s", seq)  # noqa: S608
    if kind == "cut with head":
        last = AuditEvent.objects.order_by("-seq").first()
        AuditHead.objects.update(seq=seq - 1, hash=last.hash if last else "0" * 64)
        return {seq - 1} if seq > 1 else {LENGTH, 1, 0}
    return {seq}


def edit(seq: int, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*TEXTS, "before", "after", "at", "event_id"]))
    event = AuditEvent.objects.get(seq=seq)
    if name == "at":
        rewrite(seq, at=connection.ops.adapt_datetimefield_value(event.at + timedelta(microseconds=1)))
    elif name == "event_id":
        rewrite(seq, event_id="0" * 32)
    else:
        old, limit = getattr(event, name), LENGTHS[name]
        texts = [text[:limit] for text in ("", "x", "0" * 64, f"{old} ")]
        rewrite(seq, **{name: data.draw(st.sampled_from([text for text in texts if text != old]))})


def test_where_an_event_was_is_told() -> None:
    disarm()
    make_chain(LENGTH)
    for old, new in ((3, -1), (7, 3), (-1, 7)):
        rewrite(old, seq=new)

    assert named(check_audit()) == {("moved", 3), ("moved", 7)}


def test_who_lacks_the_key_can_forge_no_event() -> None:
    disarm()
    make_chain(LENGTH)
    event = AuditEvent.objects.get(seq=LENGTH)
    event.actor = "somebody else"
    rewrite(LENGTH, actor=event.actor, hash=event_hash(event))
    AuditHead.objects.update(hash=event_hash(event))

    assert named(check_audit()) == {("forged", LENGTH), ("head", LENGTH)}


def test_an_event_that_was_put_in_is_named() -> None:
    disarm()
    make_chain(LENGTH)
    tampered(
        f"INSERT INTO {TABLE} (seq, event_id, at, actor, actor_kind, action, object_type, object_id, "  # noqa: S608
        "object_name, detail, request_id, ip, prev_hash, hash, key_id, mac) SELECT seq + 1, "
        "'00000000000000000000000000000000', at, actor, actor_kind, action, object_type, object_id, "
        f"object_name, detail, request_id, ip, hash, hash, key_id, mac FROM {TABLE} WHERE seq = %s",
        LENGTH,
    )

    assert {("edited", LENGTH + 1), ("inserted", LENGTH + 1)} & named(check_audit())


def test_an_old_copy_of_the_head_does_not_hide_a_cut_from_an_anchor() -> None:
    disarm()
    make_chain(3)
    old = AuditHead.objects.values().get()
    make_chain(3)
    anchor = Anchor(*audit_head(), "the anchor")
    tampered(f"DELETE FROM {TABLE} WHERE seq > 3")  # noqa: S608
    AuditHead.objects.update(**old)

    assert check_audit().is_whole
    assert named(check_audit(anchors=[anchor])) == {("anchor", 6)}


def test_who_has_the_key_can_still_not_change_what_was_anchored(settings: Any) -> None:
    disarm()
    make_chain(3)
    write_anchor()
    AuditEvent._base_manager.all()._raw_delete("default")
    AuditHead.objects.all().delete()
    make_chain(4)

    assert check_audit().is_whole
    assert named(check_audit(anchors=read_anchors())) == {("anchor", 3)}


def test_a_new_key_of_the_ring_leaves_old_events_verifiable(settings: Any) -> None:
    make_chain(2)
    old = settings.GATEWAY_ENCRYPTION_RING
    settings.GATEWAY_ENCRYPTION_RING = (RingKey("t2", b"2" * 32), *old)
    make_chain(2)
    assert check_audit().is_whole

    settings.GATEWAY_ENCRYPTION_RING = old

    assert ("key", 3) in named(check_audit())


def test_a_check_can_begin_at_a_moment() -> None:
    make_chain(3)
    begin = datetime.now(UTC)
    make_chain(3)

    found = check_audit(since=begin)

    assert (found.is_whole, found.first_seq, found.events) == (True, 4, 3)
    assert check_audit(since=datetime.now(UTC)).events == 0


def test_the_command_tells_what_is_wrong() -> None:
    make_chain(LENGTH)
    write_anchor()
    out = StringIO()
    call_command("verify_audit", stdout=out)
    assert f"{LENGTH} events, 1 anchors" in out.getvalue()

    disarm()
    rewrite(4, actor="somebody else")
    out = StringIO()
    with pytest.raises(CommandError, match="1 findings"):
        call_command("verify_audit", "--json", stdout=out)

    told = json.loads(out.getvalue())
    assert told["problems"] == [{"kind": "edited", "seq": 4, "message": "event 4 was edited"}]


def test_the_command_takes_an_anchor_from_elsewhere() -> None:
    make_chain(2)
    seq, hash_hex = audit_head()
    call_command("verify_audit", "--anchor", f"{seq}:{hash_hex}", stdout=StringIO())

    with pytest.raises(CommandError, match="1 findings"):
        call_command("verify_audit", "--anchor", f"{seq}:{'0' * 64}", stdout=StringIO())
    with pytest.raises(CommandError, match="not an anchor"):
        call_command("verify_audit", "--anchor", "7", stdout=StringIO())


def test_a_head_that_was_set_back_is_named() -> None:
    record("exported", object_type="report", object_id="1")
    AuditHead.objects.update(seq=0, hash="0" * 64)

    assert named(check_audit()) == {("head", 0), ("inserted", 1)}
