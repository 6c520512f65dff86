"""A chain to look at, and the ways in which somebody with the database's password could change it."""

from __future__ import annotations

from typing import Any

from django.db import connection

from security_app.models import AuditEvent
from security_app.models.chain import Draft, append

TABLE = AuditEvent._meta.db_table
_UPDATE_TRIGGER = f"audit_no_update{'' if connection.vendor == 'sqlite' else f' ON {TABLE}'}"
_DELETE_TRIGGER = f"audit_no_delete{'' if connection.vendor == 'sqlite' else f' ON {TABLE}'}"


def make_chain(length: int) -> None:
    """Events of several kinds."""
    append(
        [
            Draft(
                ("created", "updated", "denied")[number % 3],
                "upstreams_app.route",
                f"{number:032x}",
                f"route {number}",
                before={"name": "a", "weight": number} if number % 3 == 1 else None,
                after={"name": "b", "cost": "1.5"} if number % 3 != 2 else None,
                detail={"count": number} if number % 3 == 2 else None,
                ip="192.0.2.1",
            )
            for number in range(length)
        ]
    )


def disarm() -> None:
    """Drop the triggers, as the owner of the tables can."""
    tampered(f"DROP TRIGGER IF EXISTS {_UPDATE_TRIGGER}")
    tampered(f"DROP TRIGGER IF EXISTS {_DELETE_TRIGGER}")


def tampered(statement: str, *values: Any) -> None:
    """Run a statement behind the ORM's back."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)


def rewrite(seq: int, /, **values: Any) -> None:
    """Change columns of an event."""
    columns = ", ".join(f"{name} = %s" for name in values)
    tampered(f"UPDATE {TABLE} SET {columns} WHERE seq = %s", *values.values(), seq)  # noqa: S608
