"""The database itself refuses to change events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import DatabaseError, connection

from security_app.models import AuditEvent
from security_app.models.audit_guard import create_triggers, drop_triggers
from security_app.services.audit import record

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def triggers() -> Iterator[None]:
    """As migrations make them."""
    with connection.schema_editor() as editor:
        drop_triggers(None, editor)  # type: ignore[arg-type]
        create_triggers(None, editor)  # type: ignore[arg-type]
    yield
    if connection.vendor == "sqlite":
        # Between tests all rows go.
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER audit_no_delete")


@pytest.mark.parametrize(
    "statement", ["UPDATE security_app_auditevent SET actor = 'x'", "DELETE FROM security_app_auditevent"]
)
def test_the_database_refuses_to_change_events(statement: str, triggers: None) -> None:
    record("exported", object_type="report", object_id="1")

    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditEvent.objects.count() == 1
