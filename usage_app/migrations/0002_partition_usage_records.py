"""On PostgreSQL: partition the usage records by month of `at`, with primary key (id, at).

Django's state is not touched: to it `id` alone stays the primary key, which is true, because `at` follows
from `id`. Months get their partitions from `usage_app.services.partitions`; until then, and for
moments without one, there is the default partition.
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def partition(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _rebuild(apps, schema_editor, suffix=" PARTITION BY RANGE (at)", primary_key="id, at")


def unite(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _rebuild(apps, schema_editor, suffix="", primary_key="id")


def _rebuild(apps: Apps, schema_editor: BaseDatabaseSchemaEditor, *, suffix: str, primary_key: str) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    model = apps.get_model("usage_app", "UsageRecord")
    table = model._meta.db_table
    execute = schema_editor.execute
    execute(f"ALTER TABLE {table} RENAME TO {table}_old")
    execute(f"CREATE TABLE {table} (LIKE {table}_old INCLUDING DEFAULTS INCLUDING CONSTRAINTS){suffix}")
    if suffix:
        # A partition of this name is among those that the way back drops.
        execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    execute(f"INSERT INTO {table} SELECT * FROM {table}_old")  # noqa: S608  (a name of ours)
    execute(f"DROP TABLE {table}_old")
    execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({primary_key})")
    for index in model._meta.indexes:
        schema_editor.add_index(model, index)


class Migration(migrations.Migration):
    dependencies = [("usage_app", "0001_initial")]

    operations = [migrations.RunPython(partition, unite)]
