"""Triggers by which the database itself refuses to change events of the audit, for migrations.

They stop slips and whoever has no right to drop them, not the owner of the tables: that is what the chain and
its macs are for.
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_EVENTS = "security_app_auditevent"
_CHECKPOINTS = "security_app_auditcheckpoint"
# Beyond the last checkpoint nothing may go. Retention writes that first.
_IS_KEPT = f"OLD.seq > COALESCE((SELECT MAX(seq) FROM {_CHECKPOINTS}), 0)"  # noqa: S608
_MESSAGE = "events of the audit are append-only"

_CREATE = {
    "sqlite": (
        f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON {_EVENTS} "
        f"BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END",
        f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON {_EVENTS} WHEN {_IS_KEPT} "
        f"BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_MESSAGE}'; END $$",
        "CREATE FUNCTION audit_refuse_kept() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF {_IS_KEPT} THEN RAISE EXCEPTION '{_MESSAGE}'; END IF; RETURN OLD; END $$",
        f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON {_EVENTS} "
        "FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
        f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON {_EVENTS} "
        "FOR EACH ROW EXECUTE FUNCTION audit_refuse_kept()",
    ),
}
_DROP = {
    "sqlite": ("DROP TRIGGER IF EXISTS audit_no_update", "DROP TRIGGER IF EXISTS audit_no_delete"),
    "postgresql": (
        f"DROP TRIGGER IF EXISTS audit_no_update ON {_EVENTS}",
        f"DROP TRIGGER IF EXISTS audit_no_delete ON {_EVENTS}",
        "DROP FUNCTION IF EXISTS audit_refuse()",
        "DROP FUNCTION IF EXISTS audit_refuse_kept()",
    ),
}


def create_triggers(_: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Have the database refuse updates of events, and deletions that retention does not make."""
    for statement in _CREATE[editor.connection.vendor]:
        editor.execute(statement)


def drop_triggers(_: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """The inverse of `create_triggers`."""
    for statement in _DROP[editor.connection.vendor]:
        editor.execute(statement)
