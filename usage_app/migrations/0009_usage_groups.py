"""Sums by groups of all dimensions, by day too, by end user and by tag.

The old sums lack dimensions: they go, and the next runs of `usage.roll_up` make the new ones from the ledger.
"""

from __future__ import annotations

from uuid import UUID

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from gateway_project.core.money import MoneyField

NOBODY = UUID(int=0)


def note(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    starts = apps.get_model("usage_app", "UsageRollup").objects.order_by("window_start")
    window = apps.get_model("usage_app", "RollupWindow")
    window.objects.bulk_create(
        [window(window_start=start, mark=0) for start in starts.values_list("window_start", flat=True).distinct()],
        batch_size=500,
        ignore_conflicts=True,
    )


def sums(*names):
    return [
        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
        ("window_start", models.DateTimeField(help_text="Start of the span, UTC.")),
        ("requests", models.BigIntegerField()),
        ("errors", models.BigIntegerField(help_text="Status 400 and above, without 499: clients that left.")),
        ("unpriced", models.BigIntegerField(help_text="Requests that used tokens of a model without a price.")),
        ("input_tokens", models.BigIntegerField()),
        ("output_tokens", models.BigIntegerField()),
        ("cached_input_tokens", models.BigIntegerField(help_text="Part of the input tokens.")),
        ("cache_write_tokens", models.BigIntegerField(help_text="Part of the input tokens.")),
        ("reasoning_tokens", models.BigIntegerField(help_text="Part of the output tokens.")),
        ("cost", MoneyField(help_text="US dollars; what has no price counts as nothing.")),
        *((name, models.CharField(max_length=256)) for name in names),
        (
            "group",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="usage_app.usagegroup",
            ),
        ),
    ]


def rollup(name, prefix):
    return migrations.CreateModel(
        name=name,
        fields=sums(),
        options={
            "constraints": [models.UniqueConstraint(fields=("window_start", "group"), name=f"{prefix}_once")],
            "indexes": [models.Index(fields=["group", "window_start"], name=f"{prefix}_group")],
        },
    )


def named_rollup(name, column, prefix):
    return migrations.CreateModel(
        name=name,
        fields=sums(column),
        options={
            "constraints": [
                models.UniqueConstraint(fields=("window_start", column, "group"), name=f"{prefix}_once")
            ],
            "indexes": [
                models.Index(fields=[column, "window_start"], name=f"{prefix}_name"),
                models.Index(fields=["group"], name=f"{prefix}_group"),
            ],
        },
    )


class Migration(migrations.Migration):

    dependencies = [("usage_app", "0008_owners_of_usage")]

    operations = [
        migrations.RunPython(note, migrations.RunPython.noop),
        migrations.DeleteModel(name="UsageRollup"),
        migrations.DeleteModel(name="HourlyUsageRollup"),
        migrations.CreateModel(
            name="UsageGroup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(help_text="SHA-256 of all that follows.", max_length=64)),
                ("organization_id", models.UUIDField(default=NOBODY, help_text="All zeros for none.")),
                ("team_id", models.UUIDField(default=NOBODY, help_text="All zeros for none.")),
                ("key_id", models.UUIDField(default=NOBODY, help_text="All zeros for the master key.")),
                ("user_id", models.CharField(blank=True, help_text="Owner of the key.", max_length=200)),
                ("model", models.CharField(help_text="As the client asked.", max_length=264)),
                ("upstream", models.CharField(blank=True, max_length=63)),
                ("upstream_model", models.CharField(blank=True, max_length=200)),
                ("agent", models.CharField(blank=True, help_text="Whose run it was a part of.", max_length=264)),
                ("state", models.CharField(help_text="How the numbers came about, as in the ledger.", max_length=10)),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("digest",), name="usage_group_once")]},
        ),
        migrations.CreateModel(
            name="RollupDay",
            fields=[
                (
                    "day_start",
                    models.DateTimeField(help_text="Start of the day, UTC.", primary_key=True, serialize=False),
                ),
                ("due_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Reconciliation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("finished_at", models.DateTimeField()),
                ("range_start", models.DateTimeField()),
                ("range_end", models.DateTimeField()),
                (
                    "differing",
                    models.PositiveIntegerField(help_text="Sums that differed; no more than 100 are counted."),
                ),
                (
                    "differing_after",
                    models.PositiveIntegerField(help_text="Those that differ though computed again."),
                ),
                ("examples", models.JSONField(default=list, help_text="The first of them, as texts.")),
            ],
            options={"indexes": [models.Index(fields=["-finished_at"], name="reconciliation_finished")]},
        ),
        rollup("UsageRollup", "usage_rollup"),
        rollup("HourlyUsageRollup", "hourly_usage_rollup"),
        rollup("DailyUsageRollup", "daily_usage_rollup"),
        named_rollup("DailyEndUserRollup", "end_user", "daily_end_user_rollup"),
        named_rollup("DailyTagRollup", "tag", "daily_tag_rollup"),
    ]
