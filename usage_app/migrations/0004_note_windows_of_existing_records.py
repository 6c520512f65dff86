"""Note every quarter-hour that has records, so that the first runs of `usage.roll_up` sum them up."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_WINDOWS = {
    "postgresql": "to_timestamp(floor(extract(epoch FROM at) / 900) * 900)",
    "sqlite": "datetime(CAST(strftime('%s', at) AS INTEGER) / 900 * 900, 'unixepoch')",
}


def note(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    records = apps.get_model("usage_app", "UsageRecord")._meta.db_table
    windows = apps.get_model("usage_app", "RollupWindow")._meta.db_table
    window = _WINDOWS[schema_editor.connection.vendor]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {windows} (window_start, mark) SELECT DISTINCT {window}, 0 FROM {records}"  # noqa: S608
        )


class Migration(migrations.Migration):
    dependencies = [("usage_app", "0003_add_usage_rollups")]

    operations = [migrations.RunPython(note, migrations.RunPython.noop)]
