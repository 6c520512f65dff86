"""What retention deletes leaves a checkpoint from which the rest verifies, and no way to delete more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection

from gateway_project.core.clock import utc_now
from security_app.models import AuditCheckpoint, AuditEvent
from security_app.models import chain as chain_module
from security_app.models.audit_guard import create_triggers, drop_triggers
from security_app.services import audit_retention
from security_app.services.audit_anchors import read_anchors, write_anchor
from security_app.services.audit_check import check_audit
from security_app.tasks import anchor_audit, prune_audit
from tests.audit.chains import TABLE, make_chain, tampered

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _triggers(settings: Any, tmp_path: Path) -> Iterator[None]:
    """As migrations make them, and anchors of the test's own."""
    settings.GATEWAY_DATA_DIR = tmp_path
    with connection.schema_editor() as editor:
        drop_triggers(None, editor)  # type: ignore[arg-type]
        create_triggers(None, editor)  # type: ignore[arg-type]
    yield
    if connection.vendor == "sqlite":
        # Between tests all rows go.
        tampered("DROP TRIGGER audit_no_delete")


@pytest.fixture
def ten_old_events(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten events of last year and three of today, kept for a month."""
    monkeypatch.setattr(chain_module, "utc_now", lambda: utc_now() - timedelta(days=365))
    make_chain(10)
    monkeypatch.undo()
    settings.AUDIT_RETENTION_DAYS = 30
    make_chain(3)


def test_by_default_everything_stays() -> None:
    make_chain(3)

    assert prune_audit() == 0
    assert AuditEvent.objects.count() == 3


def test_what_goes_leaves_a_checkpoint_and_an_event(
    ten_old_events: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_retention, "_BATCH", 4)

    assert prune_audit() == 10
    assert prune_audit() == 0

    checkpoint = AuditCheckpoint.objects.get()
    assert (checkpoint.seq, checkpoint.deleted) == (10, 10)
    told = AuditEvent.objects.filter(action="pruned").order_by("seq")
    assert [one.object_id for one in told] == ["4", "8", "10"]
    found = check_audit(anchors=read_anchors())
    assert (found.is_whole, found.first_seq, found.events) == (True, 11, 6)


def test_no_event_beyond_the_checkpoint_can_be_deleted(ten_old_events: None) -> None:
    prune_audit()

    with pytest.raises(DatabaseError, match="append-only"):
        tampered(f"DELETE FROM {TABLE} WHERE seq = 11")  # noqa: S608


def test_who_lacks_the_key_can_make_no_checkpoint(ten_old_events: None) -> None:
    last = AuditEvent.objects.get(seq=5)
    AuditCheckpoint.objects.create(
        seq=5, hash=last.hash, at=utc_now(), deleted=5, key_id=last.key_id, mac="0" * 64
    )
    tampered(f"DELETE FROM {TABLE} WHERE seq <= 5")  # noqa: S608

    assert [(one.kind, one.seq) for one in check_audit().problems] == [("checkpoint", 5)]


def test_an_anchor_of_what_went_says_nothing_and_one_of_the_checkpoint_does(ten_old_events: None) -> None:
    write_anchor()
    prune_audit()
    assert check_audit(anchors=read_anchors()).is_whole

    wrong = [one._replace(hash_hex="0" * 64, seq=10) for one in read_anchors()]

    assert {one.kind for one in check_audit(anchors=wrong[:1]).problems} == {"anchor"}


def test_a_daily_anchor_is_a_line_of_a_file(tmp_path: Path) -> None:
    assert anchor_audit() == 0
    make_chain(3)
    assert anchor_audit() == 3
    make_chain(1)
    assert anchor_audit() == 4

    assert [one.seq for one in read_anchors()] == [3, 4]
    path = tmp_path / "audit" / "anchors.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("nonsense\n")
    with pytest.raises(ValueError, match="line 1"):
        list(read_anchors())
