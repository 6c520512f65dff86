"""How PostgreSQL's tables are emptied between tests that commit: what is there is deleted, no more is done.

Django truncates every table and then makes its permissions anew, which takes longer than most of these tests.
Here rows are deleted, and the permissions, groups and content types stay if no test has touched them.
"""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test import TransactionTestCase

# What Django and roles.py write after each migration.
RIGHTS = ("django_content_type", "auth_permission", "auth_group", "auth_group_permissions")
_FINGERPRINT = " || ".join(
    f"(SELECT coalesce(md5(string_agg(one::text, ',' ORDER BY id)), '') FROM {table} AS one)"  # noqa: S608
    for table in RIGHTS
)
# It has no public name for this, and the stubs none at all.
_Case: Any = TransactionTestCase
_flush = _Case._fixture_teardown
_untouched: list[str] = []


def flush_by_deleting() -> None:
    """From now on in this process; for a database of PostgreSQL that has just been made."""
    _untouched[:] = [_rights()]
    _Case._fixture_teardown = _delete_rows


def _delete_rows(case: TransactionTestCase) -> None:
    if case.available_apps is not None or case.serialized_rollback or _rights() not in _untouched:
        _flush(case)
        # Made anew they have other ids, and are as good.
        _untouched[:] = [*_untouched[-3:], _rights()]
        return
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    deletes = [f"DELETE FROM {connection.ops.quote_name(name)}" for name in sorted(tables - {*RIGHTS})]  # noqa: S608
    with connection.cursor() as cursor:
        # Without triggers: the audit's refuse this, and foreign keys would ask for an order.
        cursor.execute(
            "; ".join(["SET session_replication_role = replica", *deletes, "RESET session_replication_role"])
        )


def _rights() -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_FINGERPRINT}")
        return cursor.fetchone()[0]
