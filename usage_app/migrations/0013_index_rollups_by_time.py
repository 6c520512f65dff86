"""Who asks for some hours or quarter-hours of a month is not answered by a walk through all of it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("usage_app", "0012_alerts")]

    operations = [
        migrations.AddIndex(
            model_name="usagerollup",
            index=models.Index(fields=["window_start"], name="usage_rollup_at"),
        ),
        migrations.AddIndex(
            model_name="hourlyusagerollup",
            index=models.Index(fields=["window_start"], name="hourly_usage_rollup_at"),
        ),
    ]
